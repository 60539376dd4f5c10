"""The description that is merged from those of both functions."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from functions.swap.entry import prediction_schemas
from functions.swap.entry import schemas as swap_schemas
from functions.video.entry import schemas as video_schemas
from layers.core import api_description
from layers.core.errors import ColdswapError, VideoError, family
from layers.core.request_body import RequestBody
from tools import openapi
from tools.openapi import UnknownOperation, merge, merge_schemas, render
from tools.openapi_operations import OPERATIONS

DOCUMENT = merge()
PROBLEM = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}}


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each operation of the document, by its method and path."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_the_committed_document_is_up_to_date() -> None:
    assert api_description.PATH.read_text(encoding="utf-8") == render(), "run make openapi"


def test_every_error_is_a_problem() -> None:
    errors = [
        (name, status, response.get("content"))
        for name, operation in operations()
        for status, response in operation["responses"].items()
        if status >= "400"
    ]

    assert len(errors) > 50
    assert [each for each in errors if each[2] != PROBLEM] == []
    assert not {"HTTPValidationError", "ValidationError"} & DOCUMENT["components"]["schemas"].keys()


def test_every_code_stands_with_its_status() -> None:
    described = {
        (int(status), code)
        for _, operation in operations()
        for status, response in operation["responses"].items()
        if status >= "400"
        for code in re.findall(r"`(\w+)`", response["description"])
    }

    kinds = {(kind.status, kind.code) for kind in family().values() if kind not in (ColdswapError, VideoError)}
    assert described <= kinds
    # A full disk has a status of its own, which no request is known to have got.
    assert {status for status, _ in kinds - described} <= {507}


def test_a_redirect_names_its_place_and_has_no_body() -> None:
    redirect = DOCUMENT["paths"]["/download/{task_id}"]["get"]["responses"]["302"]

    assert set(redirect) == {"description", "headers"}
    assert set(redirect["headers"]) == {"Location"}


def test_names_of_operations_are_unique_and_readable() -> None:
    names = [operation["operationId"] for _, operation in operations()]

    assert len(set(names)) == len(names)
    assert [name for name in names if not re.fullmatch(r"[a-z]+(_[a-z]+){1,3}", name)] == []


def test_every_request_with_a_body_in_json_has_an_example_that_its_schema_takes() -> None:
    bodies: dict[str, type[RequestBody]] = {
        name: each
        for module in (swap_schemas, prediction_schemas, video_schemas)
        for name, each in vars(module).items()
        if isinstance(each, type) and issubclass(each, RequestBody)
    }
    checked = 0
    for name, operation in operations():
        content = operation.get("requestBody", {}).get("content", {}).get("application/json")
        if content is None:
            continue
        assert content["examples"], name
        model = bodies[content["schema"]["$ref"].rpartition("/")[2]]
        for example in content["examples"].values():
            model.model_validate(example["value"])
            checked += 1
    assert checked >= 10


def test_a_component_that_differs_gets_a_name_of_its_own() -> None:
    def document(*fields: str) -> dict[str, Any]:
        schemas = {"Same": {"type": "string"}, "Other": {"required": list(fields)}}
        return {"paths": {"/a": {"$ref": "#/components/schemas/Other"}}, "components": {"schemas": schemas}}

    first, second = document("a"), document("b")

    schemas = merge_schemas(first, second)

    assert schemas == {"Same": {"type": "string"}, "Other": {"required": ["a"]}, "VideoOther": {"required": ["b"]}}
    assert first["paths"]["/a"]["$ref"].endswith("/Other")
    assert second["paths"]["/a"]["$ref"].endswith("/VideoOther")


def test_a_route_without_a_name_is_not_described(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "OPERATIONS", {key: each for key, each in OPERATIONS.items() if key[1] != "/faces"})

    with pytest.raises(UnknownOperation, match="POST /faces"):
        merge()


def test_a_name_without_a_route_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openapi, "OPERATIONS", {**OPERATIONS, ("get", "/gone"): OPERATIONS["post", "/faces"]})

    with pytest.raises(UnknownOperation, match="/gone"):
        merge()


def test_nothing_refers_to_what_is_not_there() -> None:
    names = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(DOCUMENT)))

    assert names == DOCUMENT["components"]["schemas"].keys()
