"""Reading from S3 without boto3: signed as botocore signs, over few connections, again where the network fails."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotocoreCredentials
from botocore.exceptions import ClientError

from layers.core import s3_reader
from layers.core.s3_reader import Credentials, S3Reader, reader, sign
from tests.support.faulty_s3 import Fault, FaultyS3

DATA = bytes(range(256)) * 400
PLAIN = {"AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}


@pytest.fixture
def s3() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        server.objects["bucket/key"] = DATA
        yield server


@pytest.fixture
def client(s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> S3Reader:
    monkeypatch.setattr(s3_reader, "BACKOFF_SECONDS", (0.0, 0.0, 0.0))
    return S3Reader("us-east-1", Credentials("key", "secret", ""), s3.url)


def read(client: S3Reader, **more: str) -> bytes:
    with client.get_object(Bucket="bucket", Key="key", **more)["Body"] as body:
        return bytes(body.read(1 << 20))


@pytest.mark.parametrize("token", ["", "session/token+="])
@pytest.mark.parametrize("path", ["/packs/current.json", "/bucket/a%20b~c"])
def test_a_request_is_signed_as_botocore_signs_it(token: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = datetime(2026, 11, 28, 23, 59, 7, tzinfo=UTC)
    headers = sign(
        "b.s3.eu-west-1.amazonaws.com", path, "eu-west-1", Credentials("AKID", "se/cret", token), at.timestamp()
    )

    request = AWSRequest("GET", f"https://b.s3.eu-west-1.amazonaws.com{path}")
    request.context["payload_signing_enabled"] = True
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: at.replace(tzinfo=None))
    S3SigV4Auth(BotocoreCredentials("AKID", "se/cret", token or None), "s3", "eu-west-1").add_auth(request)

    assert headers["Authorization"] == request.headers["Authorization"]
    assert headers["x-amz-date"] == request.headers["X-Amz-Date"]


def test_credentials_are_never_shown() -> None:
    text = repr(Credentials("AKID", "se/cret", "session/token"))
    assert not [each for each in ("se/cret", "session/token") if each in text]


def test_a_range_comes_with_what_boto3_tells_of_it(s3: FaultyS3, client: S3Reader) -> None:
    answer = client.get_object(Bucket="bucket", Key="key", Range="bytes=10-19")
    room = bytearray(64)
    with answer["Body"] as body:
        assert body.readinto(memoryview(room)) == 10
        assert body.readinto(memoryview(room)[10:]) == 0
    theirs = s3.client().get_object(Bucket="bucket", Key="key", Range="bytes=10-19")
    assert bytes(room[:10]) == theirs["Body"].read() == DATA[10:20]
    assert {name: answer[name] for name in ("ContentLength", "ETag", "ContentRange")} == {
        name: theirs[name] for name in ("ContentLength", "ETag", "ContentRange")
    }


@pytest.mark.parametrize(
    ("key", "more", "status", "code"), [("key", True, 304, "304"), ("none", False, 404, "NoSuchKey")]
)
def test_a_refusal_is_the_error_that_boto3_raises(
    client: S3Reader, key: str, more: bool, status: int, code: str
) -> None:
    named = {"IfNoneMatch": client.get_object(Bucket="bucket", Key="key")["ETag"]} if more else {}
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket="bucket", Key=key, **named)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert caught.value.response["Error"]["Code"] == code


def test_a_failure_of_s3_is_tried_again_and_in_the_end_raised(s3: FaultyS3, client: S3Reader) -> None:
    s3.fail("key", *[Fault(status=503, code="SlowDown")] * 3)
    assert read(client) == DATA
    s3.fail("key", *[Fault(status=503, code="SlowDown")] * 4)
    with pytest.raises(ClientError) as caught:
        read(client)
    assert caught.value.response["Error"]["Code"] == "SlowDown"


def test_where_nobody_listens_that_is_raised(client: S3Reader) -> None:
    nowhere = S3Reader("us-east-1", Credentials("key", "secret", ""), "http://127.0.0.1:1")
    with pytest.raises(ConnectionRefusedError):
        read(nowhere)


def test_a_connection_is_used_again_unless_its_body_broke_off_or_s3_closed_it(
    s3: FaultyS3, client: S3Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects: list[object] = []
    connect = socket.create_connection

    def count_connect(*arguments: Any, **named: Any) -> socket.socket:
        connects.append(arguments)
        return connect(*arguments, **named)

    monkeypatch.setattr(socket, "create_connection", count_connect)

    def count() -> int:
        assert read(client) == DATA
        return len(connects)

    assert [count(), count()] == [1, 1]
    s3.fail("key", Fault(break_after=100))
    assert len(read(client)) == 100
    assert count() == 2
    ((connection, _),) = next(iter(client._idle.values()))
    connection.sock.shutdown(socket.SHUT_RDWR)  # as if its other end had been closed
    assert count() == 3
    monkeypatch.setattr(s3_reader, "IDLE_SECONDS", 0.0)
    assert count() == 4


def test_threads_share_the_connections(client: S3Reader) -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(read(client))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert results == [DATA] * 8
    assert sum(map(len, client._idle.values())) <= 8


def test_what_it_cannot_do_is_left_to_boto3(s3: FaultyS3, client: S3Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_reader, "_boto3", s3.client)
    s3.fail("key", Fault(status=307, code="TemporaryRedirect"))
    assert read(client) == DATA


@pytest.mark.parametrize(
    ("environment", "is_own"),
    [
        ({}, True),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:5000"}, True),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-gov-west-1"}, True),
        ({"AWS_ENDPOINT_URL": "http://minio:9000"}, False),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:5000"}, False),
        ({"AWS_REGION": "cn-north-1"}, False),
        ({"AWS_SECRET_ACCESS_KEY": ""}, False),
        ({"HTTPS_PROXY": "http://proxy:3128"}, False),
        ({"AWS_USE_FIPS_ENDPOINT": "true"}, False),
        ({"REQUESTS_CA_BUNDLE": "/etc/ours.pem"}, False),
    ],
)
def test_only_an_environment_as_plain_as_lambdas_is_read_without_boto3(
    environment: dict[str, str], is_own: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*s3_reader.SPECIAL, "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {**PLAIN, **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(s3_reader, "_boto3", lambda: "boto3")
    assert isinstance(reader(), S3Reader) == is_own


@pytest.mark.parametrize(
    ("bucket", "origin", "path"),
    [
        ("models", "https://models.s3.eu-west-1.amazonaws.com", "/a/b%20c"),
        ("my.models", "https://s3.eu-west-1.amazonaws.com", "/my.models/a/b%20c"),
    ],
)
def test_an_object_is_at_the_address_that_boto3_takes(bucket: str, origin: str, path: str) -> None:
    assert S3Reader("eu-west-1", Credentials("k", "s", ""))._locate(bucket, "a/b c") == (origin, path)
