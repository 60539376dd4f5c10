"""The page: files that hold nothing, and what it must know before anybody has signed in.

API Gateway lets everybody have them, so they are served before any service is made, and nothing else of the API is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

from functions.swap.entry.accept import prefers
from functions.swap.entry.page_policy import list_connections, security_headers
from functions.swap.entry.welcome import VERSION, welcome
from layers.core.errors import ColdswapError, NotFound, problem
from layers.core.identity import AuthMode, auth_mode

FOLDER = Path(__file__).resolve().parents[1] / "page"
INDEX = "index.html"
PREFIX = "/page/"
CONFIG = f"{PREFIX}config"
HTML, JSON, PROBLEM = "text/html; charset=utf-8", "application/json", "application/problem+json"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".gif": "image/gif",
}
IMMUTABLE = "public, max-age=31536000, immutable"
_UNREAD = re.compile(rb"^[ \t]*(?://.*)?(?:\n|(?=\S))", re.MULTILINE)  # at the beginning of a line, or all of it
CHECKED = "no-cache"  # kept, and asked for again each time


@dataclass(frozen=True)
class PageFiles:
    """The files by name, and the digest of all of them: a change of one gives each a new address, so that a browser
    never mixes two versions."""

    contents: Mapping[str, bytes]
    digest: str


@cache
def read_files(folder: Path = FOLDER) -> PageFiles:
    """Read the page. `@PAGE@` in the document becomes the folder of this version.

    Indentation and lines of comment are for readers of the sources: a tenth of the page, which nobody has to load.
    """
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (*MEDIA_TYPES, ".html"))
    contents = {path.relative_to(folder).as_posix(): _shorten(path) for path in paths}
    total = hashlib.sha256(b"".join(name.encode() + b"\0" + data + b"\0" for name, data in contents.items()))
    digest = total.hexdigest()[:16]
    document = contents[INDEX].replace(b"@PAGE@", f"{PREFIX[1:]}{digest}".encode())
    return PageFiles({**contents, INDEX: document}, digest)


def _shorten(path: Path) -> bytes:
    """The file without what only readers of it need; pictures are left as they are."""
    data = path.read_bytes()
    return _UNREAD.sub(b"", data) if path.suffix in (".js", ".css", ".html") else data


def answer_page(event: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> dict[str, Any] | None:
    """The answer to an event of an HTTP API (payload format 2.0) for the page; None where it asks for something else.

    `GET /` is the page where Accept prefers HTML to JSON and the stack has one, which needs callers that a browser can
    be: with AuthMode iam there is none.
    """
    http, path = event["requestContext"]["http"], str(event.get("rawPath", ""))
    if http.get("method") != "GET":
        return None
    mode = auth_mode(environment.get("AUTH_MODE") or "iam")
    has_page = mode != "iam"
    if path == "/":
        as_page = has_page and prefers("text/html", _accept(event), over=JSON)
        return _answer_document(mode, environment) if as_page else _answer_welcome(has_page)
    if not has_page or not path.startswith(PREFIX):
        return None
    return _answer_config(mode, environment) if path == CONFIG else _answer_file(path)


def _answer_document(mode: AuthMode, environment: Mapping[str, str]) -> dict[str, Any]:
    headers = security_headers(list_connections(mode, environment))
    body = read_files().contents[INDEX].decode()
    return _respond(200, body, {"content-type": HTML, "cache-control": CHECKED, "vary": "accept", **headers})


def _answer_welcome(has_page: bool) -> dict[str, Any]:
    headers = {"content-type": JSON, "cache-control": CHECKED, "vary": "accept"}
    return _respond(200, json.dumps(asdict(welcome(has_page))), headers)


def _answer_file(path: str) -> dict[str, Any]:
    digest, _, name = path.removeprefix(PREFIX).partition("/")
    files = read_files()
    media_type = MEDIA_TYPES.get(Path(name).suffix)
    if digest != files.digest or name not in files.contents or media_type is None:
        error = NotFound("There is no such file. The page may have changed: load it again.")
        return _respond_problem(error)
    headers = {"content-type": media_type, "cache-control": IMMUTABLE, "x-content-type-options": "nosniff"}
    data = files.contents[name]
    if media_type.startswith("text/") or media_type.endswith("+xml"):
        return _respond(200, data.decode(), headers)
    return {**_respond(200, base64.b64encode(data).decode(), headers), "isBase64Encoded": True}


def _answer_config(mode: AuthMode, environment: Mapping[str, str]) -> dict[str, Any]:
    """How to sign in. Raises nothing: settings that cannot be read are a problem document."""
    document: dict[str, Any] = {"version": VERSION, "auth": mode}
    if mode == "jwt":
        from functions.swap.settings import load_settings  # and with it botocore, where the settings are read

        try:
            operator = load_settings().operator_settings()
        except ColdswapError as error:
            return _respond_problem(error)
        document["sign_in"] = {
            "issuer": environment.get("JWT_ISSUER", ""),
            "client_id": operator.sign_in_client_id,
            "scopes": operator.sign_in_scopes,
        }
    return _respond(200, json.dumps(document), {"content-type": JSON, "cache-control": "no-store"})


def _respond_problem(error: ColdswapError) -> dict[str, Any]:
    headers = {"content-type": PROBLEM, "cache-control": "no-store"}
    return _respond(error.status, json.dumps(problem(error)), headers)


def _respond(status: int, body: str, headers: Mapping[str, str]) -> dict[str, Any]:
    return {"statusCode": status, "headers": dict(headers), "body": body, "isBase64Encoded": False}


def _accept(event: Mapping[str, Any]) -> str:
    headers = cast(Mapping[str, str], event.get("headers") or {})
    return next((value for name, value in headers.items() if name.lower() == "accept"), "")
