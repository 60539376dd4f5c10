"""`make openapi`: write layers/core/openapi.json, which describes both functions' routes in one document.

Each function describes its own routes. They are merged here rather than in a function, because no image has both.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from functions.swap.entry import http_api as swap_api
from functions.video.entry import http_api as video_api
from layers.core import api_description
from layers.core.errors import ColdswapError, VideoError, family
from layers.core.web import JSON, PROBLEM
from tools.openapi_operations import OPERATIONS, Operation

Json = dict[str, Any]

DESCRIPTION = (
    "Puts faces into memes and turns scripts into short videos. What is made is labelled as made with trained models. "
    "Before the first swap or video, every caller accepts the terms once. Every error is a problem document (RFC 9457) "
    "with a stable `code`; only what API Gateway refuses by itself (401, 403, 429) is `{message}`."
)
TAGS = {
    "swaps": "Faces in pictures.",
    "batches": "One face in many memes.",
    "results": "What you have made, and how it can be told.",
    "predictions": "Swaps as clients of Replicate ask for them.",
    "videos": "Short videos from scripts.",
}
SECURITY_SCHEMES: Json = {
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key", "description": "With AuthMode key: an API key."},
    "token": {
        "type": "http",
        "scheme": "bearer",
        "description": "With AuthMode jwt: a token of the issuer that the stack trusts. With AuthMode key: an API key.",
    },
    "signature": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "With AuthMode iam: an AWS signature, version 4, for the service execute-api.",
        "x-amazon-apigateway-authtype": "awsSigv4",
    },
}
VIDEO_PREFIX = "Video"  # of a component that the two functions describe differently
INVALID: Json = {
    "description": "the request is not valid",
    "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/ProblemResponse"}}},
}


class UnknownOperation(Exception):
    """A route that tools/openapi_operations.py does not name, or the other way round; the message has its name."""


def merge() -> Json:
    """The document."""
    halves = [json.loads(api.openapi()) for api in (swap_api, video_api)]
    schemas = merge_schemas(*halves)
    paths: Json = {}
    for half in halves:
        for path, methods in half["paths"].items():
            for method, operation in methods.items():
                paths.setdefault(path, {})[method] = _finish(method, path, operation)
    if missing := OPERATIONS.keys() - {(method, path) for path in paths for method in paths[path]}:
        raise UnknownOperation(f"tools/openapi_operations.py names {missing}, which no function has.")
    document: Json = {
        "openapi": halves[0]["openapi"],
        "info": {"title": "Coldswap", "version": "1", "description": DESCRIPTION},
        "servers": [{"url": "/"}],
        "security": [],
        "tags": [{"name": name, "description": text} for name, text in TAGS.items()],
        "paths": paths,
    }
    document["components"] = {"securitySchemes": SECURITY_SCHEMES, "schemas": _keep_used(schemas, paths)}
    return document


def merge_schemas(first: Json, second: Json) -> Json:
    """The component schemas of both documents. Where two differ under one name, the second document's gets another, in
    place, and all that refers to it."""
    schemas: Json = dict(first["components"]["schemas"])
    for name, schema in list(second["components"]["schemas"].items()):
        if schemas.get(name, schema) == schema:
            schemas[name] = schema
            continue
        new_name = VIDEO_PREFIX + name
        for reference in list(_references(second)):
            if reference["$ref"] == _refer(name):
                reference["$ref"] = _refer(new_name)
        schemas[new_name] = schema
    return schemas


def _refer(name: str) -> str:
    return f"#/components/schemas/{name}"


def _references(value: Any) -> Iterator[Json]:
    """Every object with a `$ref` inside a value."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value
        for each in value.values():
            yield from _references(each)
    elif isinstance(value, list):
        for each in value:
            yield from _references(each)


def _keep_used(schemas: Json, paths: Json) -> Json:
    """The schemas that the paths refer to, directly or through another."""
    used: Json = {}
    waiting: list[Any] = [paths]
    while waiting:
        for reference in _references(waiting.pop()):
            name = reference["$ref"].rpartition("/")[2]
            if name not in used:
                used[name] = schemas[name]
                waiting.append(schemas[name])
    return dict(sorted(used.items()))


def _finish(method: str, path: str, operation: Json) -> Json:
    """An operation under its own name, with examples, and with nothing but problem documents for errors."""
    if (method, path) not in OPERATIONS:
        raise UnknownOperation(f"Add {method.upper()} {path} to tools/openapi_operations.py.")
    facts = OPERATIONS[method, path]
    responses = {status: each for status, each in operation["responses"].items() if not _is_generated(each)}
    if "parameters" in operation or "requestBody" in operation:
        responses.setdefault("400", INVALID)
    body = _finish_body(operation.get("requestBody"), facts)
    return {
        **operation,
        "operationId": facts.id,
        "tags": [facts.tag],
        **({"requestBody": body} if body else {}),
        "responses": {
            status: _finish_response(status, responses[status], of_videos=facts.tag == "videos")
            for status in sorted(responses)
        },
    }


def _is_generated(response: Json) -> bool:
    """Whether it is what powertools says of invalid requests, which here are problems with status 400."""
    return any(each["$ref"] == _refer("HTTPValidationError") for each in _references(response))


def _finish_response(status: str, response: Json, of_videos: bool) -> Json:
    if "headers" in response:
        return response
    if status.startswith("3"):  # powertools describes a body, which a redirect does not have
        location = {"description": "where it is", "required": True, "schema": {"type": "string"}}
        return {"description": response["description"], "headers": {"Location": location}}
    if status < "400":
        return response
    codes = ", ".join(f"`{code}`" for code in _list_codes(int(status), of_videos))
    return {**response, "description": f"{response['description']} (code {codes})"}


def _list_codes(status: int, of_videos: bool) -> list[str]:
    """The codes of the errors with that status, those of videos only where there are videos."""
    kinds = [kind for kind in family().values() if kind not in (ColdswapError, VideoError) and kind.status == status]
    return sorted(kind.code for kind in kinds if of_videos or not issubclass(kind, VideoError))


def _finish_body(body: Json | None, facts: Operation) -> Json | None:
    """The request's body with its examples, and the media types that only the table knows."""
    content = {**(body or {}).get("content", {}), **facts.body}
    if not content:
        return None
    if facts.examples:
        examples = {name: {"value": value} for name, value in facts.examples.items()}
        content[JSON] = {**content[JSON], "examples": examples}
    return {"required": True, **(body or {}), "content": content}


def render() -> str:
    """The document as the file has it."""
    return json.dumps(merge(), indent=1, ensure_ascii=False) + "\n"


def main() -> int:
    """Write the document; the exit status."""
    api_description.PATH.write_text(render(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
