"""The page: who gets it, what it may load, and what its files hold."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config

from functions.swap.entry import page
from functions.swap.entry.page import FOLDER, answer_page, read_files
from functions.swap.entry.page_policy import bucket_origins, list_connections
from functions.swap.entry.welcome import VERSION
from layers.core.errors import SafeguardFailed
from layers.core.operator_settings import OperatorSettings

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
BUCKETS = {"UPLOADS_BUCKET": "up", "OUTPUTS_BUCKET": "out", "AWS_REGION": "eu-west-1"}
MOST_BYTES = 100_000  # of the page's code, as it is served
SOURCES = {path.name: path.read_text() for path in FOLDER.iterdir() if path.suffix in (".html", ".css", ".js", ".svg")}
SCRIPTS = {name: text for name, text in SOURCES.items() if name.endswith(".js")}


def get(path: str, mode: str = "key", accept: str | None = BROWSER, method: str = "GET", **more: str) -> Any:
    """The answer to a request, by a stack with that AuthMode; None where it is not the page's."""
    headers = {"accept": accept} if accept is not None else {}
    event = {"rawPath": path, "requestContext": {"http": {"method": method}}, "headers": headers}
    return answer_page(event, {"AUTH_MODE": mode, **BUCKETS, **more})


def policy(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    """The content security policy of an answer."""
    parts = [part.split() for part in answer["headers"]["content-security-policy"].split(";")]
    return {part[0]: part[1:] for part in parts}


@pytest.mark.parametrize("mode", ["key", "jwt", "open"])
@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (BROWSER, "text/html"),
        ("text/html", "text/html"),
        ("application/json;q=0.5, text/html", "text/html"),
        ("*/*", "application/json"),
        (None, "application/json"),
        ("application/json, text/html", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
    ],
)
def test_the_root_is_html_where_accept_prefers_it(mode: str, accept: str | None, media_type: str) -> None:
    answer = get("/", mode, accept)

    assert answer["statusCode"] == 200
    assert answer["headers"]["content-type"].split(";")[0] == media_type
    assert answer["headers"]["vary"] == "accept"
    if media_type == "application/json":
        assert json.loads(answer["body"])["links"]["page"] == "/"


def test_where_callers_sign_there_is_no_page_and_the_root_says_what_this_is() -> None:
    welcome = json.loads(get("/", "iam")["body"])

    assert welcome["name"] == "Coldswap"
    assert "page" not in welcome["links"]
    assert get("/page/config", "iam") is None
    assert get(f"/page/{read_files().digest}/main.js", "iam") is None


@pytest.mark.parametrize(("method", "path"), [("POST", "/"), ("GET", "/swap/1"), ("GET", "/pages"), ("HEAD", "/")])
def test_everything_else_is_left_to_the_api(method: str, path: str) -> None:
    assert get(path, method=method) is None


def test_the_page_runs_no_code_but_its_own_and_tells_nobody_where_it_is() -> None:
    answer = get("/")
    allowed = policy(answer)

    assert allowed["default-src"] == ["'none'"]
    assert allowed["script-src"] == allowed["style-src"] == ["'self'"]
    assert allowed["form-action"] == allowed["base-uri"] == allowed["frame-ancestors"] == ["'none'"]
    assert "unsafe" not in answer["headers"]["content-security-policy"]
    assert answer["headers"]["referrer-policy"] == "no-referrer"
    assert answer["headers"]["x-content-type-options"] == "nosniff"


def test_it_connects_to_the_stack_and_its_buckets_and_to_nobody_else() -> None:
    own = ["'self'", "blob:", "data:"]
    buckets = ["https://up.s3.eu-west-1.amazonaws.com", "https://out.s3.eu-west-1.amazonaws.com"]

    for name in ("connect-src", "img-src", "media-src"):
        assert policy(get("/"))[name] == own + buckets
        assert policy(get("/", "jwt", JWT_ISSUER="https://id.example/realm"))[name] == [
            *own,
            *buckets,
            "https://id.example",
        ]


@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "cn-north-1"])
@pytest.mark.parametrize("endpoint", [None, "http://127.0.0.1:4566"])
def test_buckets_are_where_signed_links_and_forms_lead(region: str, endpoint: str | None) -> None:
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    s3 = boto3.session.Session("id", "secret", region_name=region).client("s3", endpoint_url=endpoint, config=config)
    link = s3.generate_presigned_url("get_object", Params={"Bucket": "out", "Key": "a"})
    form = s3.generate_presigned_post("out", "a")["url"]
    environment = {"AWS_REGION": region, **({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})}

    for url in (link, form):
        parts = urlsplit(url)
        assert f"{parts.scheme}://{parts.netloc}" in bucket_origins("out", environment)


@pytest.mark.parametrize(
    ("issuer", "origins"),
    [
        (
            "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_abc",
            ["https://cognito-idp.eu-west-1.amazonaws.com", "https://*.auth.eu-west-1.amazoncognito.com"],
        ),
        ("https://accounts.google.com", ["https://accounts.google.com", "https://oauth2.googleapis.com"]),
        ("http://127.0.0.1:9000/", ["http://127.0.0.1:9000"]),
    ],
)
def test_an_issuer_s_tokens_may_come_from_its_second_address(issuer: str, origins: list[str]) -> None:
    assert list_connections("jwt", {**BUCKETS, "JWT_ISSUER": issuer})[2:] == origins


def test_every_file_that_the_page_names_is_served_for_ever_under_the_digest_of_all() -> None:
    document = get("/")["body"]
    folder = f"page/{read_files().digest}/"
    named = set(re.findall(rf'(?:src|href)="{folder}([^"]+)"', document))
    named |= {name for text in SCRIPTS.values() for name in re.findall(r'from "\./([^"]+)"', text)}
    named |= {f"samples/{name}" for name in re.findall(r'"([\w-]+\.(?:jpg|gif))"', SCRIPTS["swap.js"])}

    assert "@" not in re.sub(r"<!doctype.*?>", "", document)
    assert named == set(read_files().contents) - {"index.html"}
    for name in named:
        answer = get(f"/{folder}{name}")
        assert (answer["statusCode"], answer["headers"]["cache-control"]) == (200, page.IMMUTABLE)
        assert answer["headers"]["x-content-type-options"] == "nosniff"
        body = answer["body"]
        data = base64.b64decode(body) if answer["isBase64Encoded"] else body.encode()
        assert data == (read_files().contents[name] if name in SOURCES else (FOLDER / name).read_bytes())


@pytest.mark.parametrize("name", ["index.html", "../entry/page.py", "nothing.js", "", "samples", "main.js/"])
def test_no_other_file_is(name: str) -> None:
    answer = get(f"/page/{read_files().digest}/{name}")

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (404, "not_found")
    assert answer["headers"]["cache-control"] == "no-store"


def test_another_version_s_address_gets_nothing_that_could_be_kept() -> None:
    answer = get("/page/0123456789abcdef/main.js")

    assert (answer["statusCode"], answer["headers"]["cache-control"]) == (404, "no-store")


def test_a_changed_file_gives_all_of_them_new_addresses(tmp_path: Any) -> None:
    (tmp_path / "index.html").write_text('<script src="@PAGE@/main.js"></script>')
    (tmp_path / "main.js").write_text("1")
    before = read_files.__wrapped__(tmp_path)
    (tmp_path / "main.js").write_text("2")
    after = read_files.__wrapped__(tmp_path)

    assert before.digest != after.digest
    assert after.contents["index.html"] == f'<script src="page/{after.digest}/main.js"></script>'.encode()


@pytest.mark.parametrize("mode", ["key", "open"])
def test_how_to_sign_in_is_told_to_everybody(mode: str) -> None:
    answer = get("/page/config", mode)

    assert json.loads(answer["body"]) == {"version": VERSION, "auth": mode}
    assert answer["headers"]["cache-control"] == "no-store"


class FakeSettings:
    """The stack's settings; `failure` is raised instead of the operator's."""

    def __init__(self, failure: SafeguardFailed | None = None) -> None:
        self.failure = failure

    def operator_settings(self) -> OperatorSettings:
        if self.failure:
            raise self.failure
        return OperatorSettings(sign_in_client_id="page", sign_in_scopes="openid swap")


def test_with_an_issuer_the_client_is_the_operator_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.swap.settings.load_settings", FakeSettings)

    document = json.loads(get("/page/config", "jwt", JWT_ISSUER="https://id.example")["body"])

    sign_in = {"issuer": "https://id.example", "client_id": "page", "scopes": "openid swap"}
    assert document == {"version": VERSION, "auth": "jwt", "sign_in": sign_in}


def test_settings_that_cannot_be_read_are_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.swap.settings.load_settings", lambda: FakeSettings(SafeguardFailed("unreadable")))

    answer = get("/page/config", "jwt", JWT_ISSUER="https://id.example")

    assert (answer["statusCode"], json.loads(answer["body"])["code"]) == (503, "safeguard_failed")


ANSWER_THE_ROOT = """
import json, os, sys
os.environ.update(AUTH_MODE=sys.argv[1], UPLOADS_BUCKET="up", OUTPUTS_BUCKET="out")
from functions.swap import app
class Context:
    aws_request_id = "1"
for accept in ("text/html", "application/json"):
    event = {"rawPath": "/", "requestContext": {"http": {"method": "GET"}}, "headers": {"accept": accept}}
    assert app.handler(event, Context())["statusCode"] == 200
print([name for name in ("numpy", "cv2", "onnxruntime", "botocore", "boto3", "requests") if name in sys.modules])
"""


@pytest.mark.parametrize("mode", ["jwt", "iam"])
def test_the_root_needs_nothing_heavy(mode: str) -> None:
    process = subprocess.run([sys.executable, "-c", ANSWER_THE_ROOT, mode], capture_output=True, text=True, check=True)

    assert process.stdout.strip() == "[]"


def test_the_code_is_small() -> None:
    assert sum(len(read_files().contents[name]) for name in SOURCES) < MOST_BYTES


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_scripts_are_served_without_their_indentation_and_comments(name: str) -> None:
    lines = [line.lstrip() for line in SCRIPTS[name].splitlines()]

    assert read_files().contents[name].decode().splitlines() == [
        line for line in lines if line and not line.startswith("//")
    ]


def test_nothing_is_inline_and_nothing_comes_from_elsewhere() -> None:
    document = SOURCES["index.html"]

    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", document)
    assert not re.search(r"""(?:src|href)=["'](?!@PAGE@|#)""", document)
    assert not re.search(r"@import|url\(", SOURCES["page.css"])
    for name, text in SCRIPTS.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            name
        )
        assert not re.search(r"localStorage|indexedDB|document\.cookie", text), name
        assert not re.search(r"""import\(|from ["'](?!\./)""", text), name


def read_texts() -> dict[str, list[str]]:
    """The table of texts: each row's texts by GROUP.ROW, or by ROW alone in the group `page`."""
    table: dict[str, list[str]] = {}
    group = ""
    for line in SCRIPTS["texts.js"].partition("const TEXTS = {\n")[2].partition("\n};")[0].splitlines():
        if beginning := re.fullmatch(r"  (\w+): \{", line):
            group = "" if beginning[1] == "page" else f"{beginning[1]}."
        elif line != "  },":
            row = re.fullmatch(r'    "?([\w.:-]+)"?: (\[.*\]),', line)
            assert row, line
            table[group + row[1]] = json.loads(row[2])
    return table


TEXTS = read_texts()


def test_the_page_is_not_blank_before_its_scripts_have_run() -> None:
    assert f'data-text="loading">{TEXTS["loading"][0]}</p>' in SOURCES["index.html"]


def test_every_row_of_the_table_has_a_text_in_each_language() -> None:
    (languages,) = re.findall(r"LANGUAGES = (\[.*?\])", SCRIPTS["texts.js"])

    assert TEXTS
    for name, row in TEXTS.items():
        assert len(row) == len(json.loads(languages)), name


def test_every_text_that_the_page_names_is_in_the_table_and_every_one_in_it_is_named() -> None:
    code = "".join(text for name, text in SCRIPTS.items() if name != "texts.js")
    named = set(re.findall(r'data-(?:text|label)="([^"]+)"', SOURCES["index.html"]))
    named |= set(re.findall(r'(?<![\w.])t\("([\w.-]+)"', code))
    quoted = set(re.findall(r'"([a-z][\w.-]*)"', code))
    beginnings = set(re.findall(r"t\(`([\w.-]+\.)\$\{", code))
    beginnings |= {f"{name}." for name in re.findall(r'this\.select\("(\w+)"', code)}

    assert named <= set(TEXTS)
    left = {name for name in set(TEXTS) - named - quoted if not name.startswith(tuple(beginnings))}
    assert not left
