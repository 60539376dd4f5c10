"""The three kinds of callers: events in, and out what each of them sees."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import pytest
from urllib3.filepost import encode_multipart_formdata

from functions.swap import app
from functions.swap.entry.s3_upload import OPERATOR_ERRORS
from functions.swap.entry.schemas import SwapBody
from layers.core.errors import ColdswapError, family
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeContext, FakeSwapStack, auth_mode_of

RequestJson = dict[str, Any]


def invoke(stack: FakeSwapStack, event: Any, patch: pytest.MonkeyPatch, context: FakeContext | None = None) -> Any:
    """What the handler returns for an event, in that stack; the event has been through JSON, as on Lambda."""
    patch.setattr(app, "load_services", lambda: stack.services)
    return app.handler(json.loads(json.dumps(event)), context or FakeContext())


@dataclass
class HttpResult:
    """A response of the HTTP API."""

    status: int
    headers: dict[str, str]
    body: Any


def http(
    stack: FakeSwapStack,
    patch: pytest.MonkeyPatch,
    method: str = "POST",
    path: str = "/swap",
    body: Any = None,
    context: FakeContext | None = None,
    authorizer: Any = None,
    sent_at: float | None = None,
    **headers: str,
) -> HttpResult:
    """A request through an HTTP API, payload format 2.0, that is open unless there is an authorizer context.

    A body of bytes is handed on in base64, as API Gateway does with every media type that is not text, JSON or XML.
    `sent_at`: when API Gateway received it (epoch, seconds).
    """
    path, _, query = path.partition("?")
    stack.settings = replace(stack.settings, auth_mode=auth_mode_of(authorizer))
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "queryStringParameters": dict(parse_qsl(query)),
        "headers": {name.replace("_", "-"): value for name, value in headers.items()},
        "requestContext": {
            "http": {"method": method, "path": path, "sourceIp": "192.0.2.1"},
            "requestId": "req-1",
            "stage": "$default",
            **({"authorizer": authorizer} if authorizer else {}),
            **({"timeEpoch": int(sent_at * 1000)} if sent_at is not None else {}),
        },
        "isBase64Encoded": isinstance(body, bytes),
    }
    if isinstance(body, bytes):
        event["body"] = base64.b64encode(body).decode()
    elif body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    raw = invoke(stack, event, patch, context)
    json.dumps(raw)
    response_headers = {name.lower(): value for name, value in raw.get("headers", {}).items()}
    content = base64.b64decode(raw["body"]) if raw.get("isBase64Encoded") else raw.get("body")
    is_json = "json" in response_headers.get("content-type", "")
    return HttpResult(raw["statusCode"], response_headers, json.loads(content) if is_json else content)


Sendable = str | tuple[str, bytes]  # text, or the name and the bytes of a file


def encode_form(*fields: tuple[str, Sendable], boundary: str = "----boundary") -> tuple[bytes, str]:
    """A form as urllib3 writes it, which requests and many others use: the body, and its Content-Type."""
    return encode_multipart_formdata(fields, boundary)


def http_form(
    stack: FakeSwapStack, patch: pytest.MonkeyPatch, *fields: tuple[str, Sendable], path: str = "/swap", **options: Any
) -> HttpResult:
    """A form through an HTTP API."""
    body, content_type = encode_form(*fields, boundary=options.pop("boundary", "----boundary"))
    return http(stack, patch, path=path, body=body, content_type=content_type, **options)


def upload_event(key: str = "memes/a.png", **attributes: Any) -> Any:
    """What S3 sends; its keys are URL-encoded."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": UPLOADS},
                    "object": {"key": key, "size": 1, "eTag": "e", "sequencer": "0055AED6DCD90281E5", **attributes},
                },
            }
        ]
    }


@dataclass
class Refusal:
    """An error as one of the callers sees it."""

    code: str
    detail: str
    retryable: bool


def fail_by_http(
    stack: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: FakeContext
) -> Refusal:
    """A problem document with the error's status."""
    response = http(stack, patch, body=request, context=context)
    problem = response.body
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status == problem["status"]
    assert problem["type"] == f"urn:coldswap:problem:{problem['code']}"
    assert problem["instance"] == "urn:coldswap:request:req-1"
    assert ("retry-after" in response.headers) == problem["retryable"]
    return Refusal(problem["code"], problem["detail"], problem["retryable"])


def fail_by_upload(
    stack: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: FakeContext
) -> Refusal:
    """A problem document in the outputs bucket; where a retry or the operator can help, the error itself too."""
    request = SwapBody(**request).model_dump()
    upload = stack.storage.objects.get((UPLOADS, request["meme"].removeprefix(f"s3://{UPLOADS}/")))
    assert upload, "an upload is always there"
    stack.storage.put(UPLOADS, "memes/a.png", upload.data, **({"face": request["face"]} if request["face"] else {}))
    raised: ColdswapError | None = None
    outcome = None
    try:
        outcome = invoke(stack, upload_event(), patch, context)
    except ColdswapError as error:
        raised = error
    if raised is None:
        assert outcome == {"outcomes": ["failed/a.png.json"]}
    assert {key for bucket, key in stack.storage.objects if bucket == OUTPUTS} == {"failed/a.png.json"}
    problem = stack.storage.json("failed/a.png.json")
    assert problem["instance"] == f"urn:coldswap:request:{context.aws_request_id}"
    assert problem["will_be_retried"] == (raised is not None)
    assert (raised is not None) == (problem["retryable"] or problem["code"] in {kind.code for kind in OPERATOR_ERRORS})
    return Refusal(problem["code"], problem["detail"], problem["retryable"])


def fail_by_task(
    stack: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: FakeContext
) -> Refusal:
    """The error raised: its class name is the error's name in a state machine, its text the cause."""
    with pytest.raises(ColdswapError) as caught:
        invoke(stack, request, patch, context)
    assert family()[type(caught.value).__name__] is type(caught.value)
    return Refusal(caught.value.code, str(caught.value), caught.value.retryable)


CALLERS = {"http": fail_by_http, "upload": fail_by_upload, "task": fail_by_task}
