"""Who comes in with an API key: events as API Gateway makes them, keys on a real table of the local cloud."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.video.entry import authorizer
from layers.core.api_keys import KEY_PATTERN, digest, key_id
from layers.core.telemetry import logger
from tools.api_keys import ApiKeyStore

NOW = datetime(2026, 11, 28, tzinfo=UTC)
NOBODYS = "ck_" + "n" * 43
REFUSED = {"isAuthorized": False}
ALICE = {"isAuthorized": True, "context": {"key": "alice"}}


def event(headers: dict[str, str] | None) -> dict[str, Any]:
    """What an HTTP API sends its authoriser (payload format 2.0), names of headers in lower case."""
    return {
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": "arn:aws:execute-api:us-east-1:123456789012:abcdef123/$default/POST/swap",
        "identitySource": [],
        "routeKey": "$default",
        "rawPath": "/swap",
        "rawQueryString": "",
        **({} if headers is None else {"headers": headers}),
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "abcdef123",
            "http": {"method": "POST", "path": "/swap", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1"},
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "timeEpoch": 1583348638390,
        },
    }


@pytest.fixture
def keys(dynamodb: Any, table: str, monkeypatch: pytest.MonkeyPatch) -> ApiKeyStore:
    """The keys that the authoriser reads."""
    monkeypatch.setenv("STATE_TABLE", table)
    monkeypatch.setattr(authorizer, "dynamodb", lambda: dynamodb)
    return ApiKeyStore(dynamodb, table)


@pytest.fixture
def key(keys: ApiKeyStore) -> str:
    """Alice's."""
    return keys.make("alice", NOW)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What the authoriser logs."""
    stream = io.StringIO()
    monkeypatch.setattr(logger().handlers[0], "stream", stream)
    return stream


def response(headers: dict[str, str] | None) -> dict[str, Any]:
    return authorizer.handler(event(headers), None)


@pytest.mark.parametrize(
    "headers",
    [
        {"x-api-key": "KEY"},
        {"X-Api-Key": "KEY"},
        {"authorization": "Bearer KEY"},
        {"authorization": "Token KEY"},
        {"Authorization": "bearer  KEY "},
        {"x-api-key": "KEY", "authorization": f"Bearer {NOBODYS}"},
        {"x-api-key": "", "authorization": "Bearer KEY"},
    ],
)
def test_a_key_lets_in_by_either_header_and_says_whose_it_is(key: str, headers: dict[str, str]) -> None:
    assert response({name: value.replace("KEY", key) for name, value in headers.items()}) == ALICE


@pytest.mark.parametrize(
    "headers",
    [
        None,
        {},
        {"x-api-key": ""},
        {"x-api-key": NOBODYS},
        {"x-api-key": NOBODYS, "authorization": "Bearer KEY"},
        {"x-api-key": "KEY,KEY"},
        {"x-api-key": "KEYa"},
        {"x-api-key": " ck_"},
        {"x-api-key": "alice"},
        {"x-api-key": "DIGEST"},
        {"x-api-key": "ck_é" + "a" * 42},
        {"x-api-key": "ck_" + "a" * 9_000},
        {"authorization": "KEY"},
        {"authorization": "Basic KEY"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer ck_\n" + "a" * 42},
        {"authorization": "AWS4-HMAC-SHA256 Credential=AKIA/20261128/us-east-1/execute-api/aws4_request"},
        {"cookie": "x-api-key=KEY"},
    ],
)
def test_anything_else_is_refused(key: str, headers: dict[str, str] | None) -> None:
    sent = headers and {
        name: value.replace("KEY", key).replace("DIGEST", digest(key)) for name, value in headers.items()
    }

    assert response(sent) == REFUSED


def test_a_revoked_key_is_refused_at_once_and_a_new_one_is_the_same_caller(keys: ApiKeyStore, key: str) -> None:
    assert response({"x-api-key": key}) == ALICE

    keys.revoke("alice")
    assert response({"x-api-key": key}) == REFUSED

    assert response({"x-api-key": keys.make("alice", NOW)}) == ALICE
    assert response({"x-api-key": key}) == REFUSED


def test_what_cannot_be_a_key_is_refused_without_asking_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(authorizer, "dynamodb")

    assert response({"x-api-key": "ck_" + "a" * 44}) == REFUSED


def test_the_table_is_read_consistently(keys: ApiKeyStore, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[dict[str, Any]] = []

    class Recording:
        def get_item(self, **request: Any) -> dict[str, Any]:
            requests.append(request)
            return {}

    monkeypatch.setattr(authorizer, "dynamodb", Recording)

    assert response({"x-api-key": key}) == REFUSED
    (request,) = requests
    assert request["ConsistentRead"] is True
    assert request["Key"] == {"id": {"S": key_id(digest(key))}}


def test_where_the_table_does_not_answer_nobody_comes_in(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_TABLE", "elsewhere")

    with pytest.raises(ClientError) as error:
        response({"x-api-key": key})
    assert key not in str(error.value)
    assert digest(key) not in str(error.value)


def test_a_refusal_is_one_line_with_the_request_s_id_and_no_key(keys: ApiKeyStore, key: str, log: io.StringIO) -> None:
    keys.revoke("alice")
    for headers in ({"x-api-key": key}, {"authorization": f"Bearer {NOBODYS}"}, {"x-api-key": "hunter2"}, {}):
        response(headers)

    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [line["reason"] for line in lines] == ["an unknown key"] * 3 + ["no key"]
    assert {line["correlation_id"] for line in lines} == {"JKJaXmPLvHcESHA="}
    for secret in (key, NOBODYS, "hunter2", digest(key)):
        assert secret not in log.getvalue()


def test_who_comes_in_leaves_no_line(key: str, log: io.StringIO) -> None:
    assert response({"x-api-key": key}) == ALICE

    assert log.getvalue() == ""


def test_a_key_has_256_random_bits(keys: ApiKeyStore) -> None:
    new_keys = {keys.make(name, NOW) for name in ("alice", "bob", "carol")}

    assert len(new_keys) == 3
    assert all(KEY_PATTERN.fullmatch(each) for each in new_keys)


CODE = """
import functions.video.entry.authorizer as authorizer, sys
print(authorizer.dynamodb.cache_info().currsize, *sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
    ("where", "clients"), [({"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand"}, "1"), ({}, "0")], ids=["Lambda", "tests"]
)
def test_it_imports_little_and_makes_its_client_while_lambda_initialises(where: dict[str, str], clients: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

    process = subprocess.run(
        [sys.executable, "-c", CODE],
        env={**environment, "AWS_DEFAULT_REGION": "eu-west-1", **where},
        capture_output=True,
        text=True,
        check=True,
    )

    count, *modules = process.stdout.split()
    assert count == clients
    heavy = {"cv2", "onnxruntime", "numpy", "boto3", "requests", "pydantic", "aws_lambda_powertools", "PIL", "c2pa"}
    assert heavy.isdisjoint(modules)
