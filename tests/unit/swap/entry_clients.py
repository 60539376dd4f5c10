"""The three callers as they are: events in, what each of them sees out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qsl

import pytest

from functions.swap import app
from functions.swap.entry.s3_upload import OPERATOR_S
from functions.swap.entry.schemas import SwapBody
from layers.core.errors import ColdswapError, family
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, Context, FakeSwapStack, mode

RequestJson = dict[str, Any]


def invoke(world: FakeSwapStack, event: Any, patch: pytest.MonkeyPatch, context: Context | None = None) -> Any:
    """The handler's answer to an event, in that world; the event has been through JSON, as on Lambda."""
    patch.setattr(app, "services", lambda: world.services)
    return app.handler(json.loads(json.dumps(event)), context or Context())


@dataclass
class Answer:
    """Of the HTTP API."""

    status: int
    headers: dict[str, str]
    body: Any


def http(
    world: FakeSwapStack,
    patch: pytest.MonkeyPatch,
    method: str = "POST",
    path: str = "/swap",
    body: Any = None,
    context: Context | None = None,
    authorizer: Any = None,
    taken: float | None = None,
    **headers: str,
) -> Answer:
    """A request through an HTTP API, payload format 2.0, that is open unless there is an authoriser's word.

    `taken`: when API Gateway took it (epoch, seconds).
    """
    path, _, query = path.partition("?")
    world.settings = replace(world.settings, auth_mode=mode(authorizer))
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
            **({"timeEpoch": int(taken * 1000)} if taken is not None else {}),
        },
        "isBase64Encoded": False,
    }
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
    raw = invoke(world, event, patch, context)
    json.dumps(raw)
    sent = {name.lower(): value for name, value in raw.get("headers", {}).items()}
    is_json = "json" in sent.get("content-type", "")
    return Answer(raw["statusCode"], sent, json.loads(raw["body"]) if is_json else raw.get("body"))


def upload_event(key: str = "memes/a.png", **thing: Any) -> Any:
    """What S3 sends; its keys are URL-encoded."""
    return {
        "Records": [
            {
                "eventSource": "aws:s3",
                "eventName": "ObjectCreated:Put",
                "s3": {
                    "bucket": {"name": UPLOADS},
                    "object": {"key": key, "size": 1, "eTag": "e", "sequencer": "0055AED6DCD90281E5", **thing},
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


def refused_by_http(world: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: Context) -> Refusal:
    """A problem document with the error's status."""
    answer = http(world, patch, body=request, context=context)
    problem = answer.body
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.status == problem["status"]
    assert problem["type"] == f"urn:coldswap:problem:{problem['code']}"
    assert problem["instance"] == "urn:coldswap:request:req-1"
    assert ("retry-after" in answer.headers) == problem["retryable"]
    return Refusal(problem["code"], problem["detail"], problem["retryable"])


def refused_by_upload(
    world: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: Context
) -> Refusal:
    """A problem document in the outputs bucket; where a retry can help, the error itself; where the operator, both."""
    request = SwapBody(**request).model_dump()
    found = world.storage.objects.get((UPLOADS, request["meme"].removeprefix(f"s3://{UPLOADS}/")))
    assert found, "an upload is always there"
    world.storage.put(UPLOADS, "memes/a.png", found.data, **({"face": request["face"]} if request["face"] else {}))
    raised: ColdswapError | None = None
    outcome = None
    try:
        outcome = invoke(world, upload_event(), patch, context)
    except ColdswapError as error:
        raised = error
    if raised and raised.retryable:
        assert not [key for bucket, key in world.storage.objects if bucket == OUTPUTS]
        return Refusal(raised.code, str(raised), True)
    assert isinstance(raised, OPERATOR_S) if raised else outcome == {"outcomes": ["failed/a.png.json"]}
    problem = world.storage.json("failed/a.png.json")
    assert problem["instance"] == f"urn:coldswap:request:{context.aws_request_id}"
    assert not problem["retryable"]
    return Refusal(problem["code"], problem["detail"], False)


def refused_by_task(world: FakeSwapStack, request: RequestJson, patch: pytest.MonkeyPatch, context: Context) -> Refusal:
    """The error raised: its class name is the error's name in a state machine, its text the cause."""
    with pytest.raises(ColdswapError) as caught:
        invoke(world, request, patch, context)
    assert family()[type(caught.value).__name__] is type(caught.value)
    return Refusal(caught.value.code, str(caught.value), caught.value.retryable)


CALLERS = {"http": refused_by_http, "upload": refused_by_upload, "task": refused_by_task}
