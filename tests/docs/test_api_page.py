"""docs/api.md has every path, field, header and error of both APIs, with its default, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from functions.swap import result_link
from functions.swap.entry import schemas
from functions.swap.settings import Settings
from functions.video import file_link
from functions.video.settings import VideoSettings
from layers.core import api_description
from layers.core.errors import ColdswapError, VideoError, family
from layers.core.units import MEGAPIXEL, MIB
from layers.core.url_check import MAX_URL_CHARS
from tests.docs.pages import ROOT, code_names, read, sections, table

PAGE = read(ROOT / "docs/api.md")
DOCUMENT = json.loads(api_description.PATH.read_text(encoding="utf-8"))
ELSEWHERE = {"problem", "result"}  # objects with a table of their own on the page

Schema = dict[str, Any]


def operations() -> Iterator[tuple[str, Schema, Schema]]:
    """Each operation as the page names it, its description, and the schemas of the document."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            name = f"`{method.upper()} {re.sub('{.*?}', '{id}', path)}`"
            yield name, operation, DOCUMENT["components"]["schemas"]


OPERATIONS = {name: (operation, known) for name, operation, known in operations()}
PARTS = {title: body for title, body in sections(PAGE, 3).items() if title.startswith("`")}


def resolve(schema: Schema, known: Schema) -> Schema:
    """The object behind a reference, a list or an optional value; the schema itself where there is none."""
    for each in (schema, schema.get("items", {}), *schema.get("anyOf", [])):
        if "$ref" in each:
            return dict(known[each["$ref"].rpartition("/")[2]])
        if each is not schema and "items" in each:
            return resolve(each, known)
    return schema


def fields(schema: Schema, known: Schema, before: str = "") -> set[str]:
    """The names of all fields, those of inner objects behind a dot, and behind [] in a list."""
    names = set()
    for name, value in schema["properties"].items():
        inner = resolve(value, known)
        if "properties" not in inner or name in ELSEWHERE:
            names.add(before + name)
            continue
        is_list = any("items" in each for each in (value, *value.get("anyOf", [])))
        names |= fields(inner, known, f"{before}{name}{'[]' if is_list else ''}.")
    return names


def content(described: Schema) -> Schema:
    """The JSON schema of a body or an answer; empty where it has none."""
    bodies = list(described.get("content", {}).values())
    return dict(bodies[0]["schema"]) if bodies else {}


def named(rows: list[list[str]]) -> list[str]:
    """What the first cells name."""
    return [name for row in rows for name in code_names(row[0])]


def default(cell: str) -> Any:
    """A default as the page has it: JSON in backticks, or `required`."""
    return cell if cell == "required" else json.loads(cell.strip("`"))


def test_every_path_has_a_part_and_no_other_has() -> None:
    assert PARTS.keys() == OPERATIONS.keys()


@pytest.mark.parametrize("name", OPERATIONS)
def test_request_fields_and_their_defaults_are_the_schemas(name: str) -> None:
    operation, known = OPERATIONS[name]
    schema = resolve(content(operation.get("requestBody", {})), known)
    rows = table(PARTS[name], "field", "type", "default")

    properties, required = schema.get("properties", {}), schema.get("required", [])
    assert {field: default(row[2]) for row in rows for field in code_names(row[0])} == {
        field: "required" if field in required else value.get("default") for field, value in properties.items()
    }


@pytest.mark.parametrize("name", OPERATIONS)
def test_parameters_of_the_query_and_their_defaults_are_the_schemas(name: str) -> None:
    operation, _ = OPERATIONS[name]
    rows = table(PARTS[name], "parameter", "default")

    query = [each for each in operation.get("parameters", []) if each["in"] == "query"]
    assert {parameter: default(row[1]) for row in rows for parameter in code_names(row[0])} == {
        each["name"]: each["schema"].get("default") for each in query
    }


def test_request_headers_are_the_schemas() -> None:
    headers = {
        each["name"]
        for operation, _ in OPERATIONS.values()
        for each in operation.get("parameters", [])
        if each["in"] == "header"
    }

    # OpenAPI has no parameter of the name Accept: the media types of the answers say the same.
    assert {name.lower() for name in named(table(PAGE, "request header"))} == headers | {"accept"}


def test_fields_of_answers_are_the_schemas() -> None:
    tabled = set()
    for name, (operation, known) in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            rows = table(PARTS[name], status)
            if rows:
                assert sorted(named(rows)) == sorted(fields(resolve(content(answer), known), known)), (name, status)
                tabled.add(json.dumps(content(answer)))
    answers = {
        json.dumps(content(answer))
        for operation, _ in OPERATIONS.values()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
    }

    assert answers == tabled


def test_a_task_takes_one_field_more_than_the_page_s_request() -> None:
    models = [each for each in vars(schemas).values() if isinstance(each, type) and issubclass(each, BaseModel)]
    (task,) = (model for model in models if {"meme", "key"} <= model.model_fields.keys())
    rows = table(sections(PAGE, 2)["S3 uploads and workflows"], "field", "type", "default")

    assert {*named(rows), *named(table(PARTS["`POST /swap`"], "field"))} == task.model_fields.keys()


def test_members_of_a_problem_are_the_schemas() -> None:
    operation, known = OPERATIONS["`POST /swap`"]

    assert set(named(table(PAGE, "member"))) == fields(resolve(content(operation["responses"]["400"]), known), known)


def test_errors_are_the_family() -> None:
    rows = table(PAGE, "status", "code", "error", "retry")
    listed = [(int(status), code.strip("`"), error.strip("`"), retry) for status, code, error, retry, _ in rows]

    kinds = [(name, kind) for name, kind in family().items() if kind not in (ColdswapError, VideoError)]
    retries = {True: "yes", False: "no"}
    assert sorted(listed) == sorted((kind.status, kind.code, name, retries[kind.retryable]) for name, kind in kinds)


def test_errors_of_videos_alone_stand_apart() -> None:
    _, _, videos = PAGE.partition("These come only with videos:")

    assert {row[2].strip("`") for row in table(videos, "status", "code", "error")} == family(VideoError).keys() - {
        VideoError.__name__
    }


def test_limits_are_the_settings() -> None:
    limits = {row[0]: row[1] for row in table(PAGE, "limit")}
    video, swap = VideoSettings, Settings

    expected = {
        "a picture": f"{swap.max_picture_bytes // MIB} MiB and {swap.max_picture_pixels // MEGAPIXEL} megapixels",
        "faces swapped in one request": f"{swap.max_faces};",
        "sources in one request": f"`face`, and {swap.max_own_sources} faces",
        "pictures of one person": f"{swap.max_person_pictures}, together {swap.max_picture_bytes // MIB} MiB",
        "a script": f"{video.max_script_characters:,} characters, and {video.max_video_seconds:.0f} seconds",
        "a file to verify": f"{swap.max_verified_bytes // MIB} MiB",
        "redirects from a URL to its file": f"{swap.max_redirects};",
        "a URL": f"{MAX_URL_CHARS:,} characters",
        "how long a link works": (
            f"{result_link.LINK_SECONDS // 3600} hour for a swap, "
            f"{file_link.LINK_SECONDS // 60} minutes for a video's file"
        ),
    }
    assert {name: limits[name][: len(value)] for name, value in expected.items()} == expected
