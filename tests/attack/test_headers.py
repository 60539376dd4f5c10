"""Headers, names and metadata with control characters, `--`, line ends, 64 KB, and letters beyond ASCII.

Requests go byte for byte over a socket to the deployed API, uploads through boto3 to its S3, so that the function's own
boto3, DynamoDB and S3 meet what a fake of ours would let through. The long list of handler's cases is in
test_requests.py; here each has the answer that it must have, and no answer may carry what came as a header.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest

from local.cloud import LOOPBACK, Cloud
from local.swap_clients import wait_for
from tests.support import log_leaks
from tests.unit.conftest import table
from tests.unit.video.fake_stack import FakeVideoStack, stack

__all__ = ["stack", "table"]

MARK = "Planted"
LONG = "a" * 65_536
REFUSED = json.dumps({"meme": "file:///etc/passwd", "face": "file:///"}).encode()  # once the headers are read
READ, WRONG, TOO_LARGE = 422, 400, 431


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    """A stack without models, which asks nobody who they are."""
    with Cloud() as cloud:
        cloud.deploy(open_api=True)
        yield cloud
        log_leaks.assert_no_leaks(cloud)


@pytest.fixture(scope="module")
def dynamodb(cloud: Cloud) -> Any:
    """For the video function that runs in this process."""
    return cloud.client("dynamodb")


@dataclass(frozen=True)
class Raw:
    """An answer as it came."""

    status: int
    head: list[str]
    body: bytes


def ask(cloud: Cloud, method: str, path: str, header: bytes = b"", body: bytes = b"") -> Raw:
    """One request with a header as it is, without a library that would refuse to send it."""
    lines = [
        f"{method} /_aws/execute-api/{cloud.api_id}{path} HTTP/1.1".encode(),
        b"Host: api.test",
        b"Connection: close",
        b"Content-Type: application/json",
        f"Content-Length: {len(body)}".encode(),
        *([header] if header else []),
    ]
    with socket.create_connection((LOOPBACK, cloud.port), timeout=30) as connection:
        connection.sendall(b"\r\n".join(lines) + b"\r\n\r\n" + body)
        with connection.makefile("rb") as response:
            head, _, content = response.read().partition(b"\r\n\r\n")
    first, *rest = head.decode("latin-1").split("\r\n")
    return Raw(int(first.split()[1]), rest, content)


def clean(response: Raw) -> None:
    """Nothing that was sent is a header of the answer, and no header has a line end or a control character in it."""
    assert MARK.lower() not in "\n".join(response.head).lower()
    assert all(line.isprintable() and ": " in line for line in response.head), response.head
    assert b"Traceback" not in response.body


# READ: our function has the header, and answers the body. WRONG, TOO_LARGE: it, or the server before it, refuses.
HEADERS: list[tuple[str, bytes, int]] = [
    ("Idempotency-Key", b"plain", READ),
    ("Idempotency-Key", b"--", READ),
    ("Idempotency-Key", b"'; DROP TABLE state; --", READ),
    ("Idempotency-Key", b'{"S": "x"}', READ),
    ("Idempotency-Key", b"#expression :value", READ),
    ("Idempotency-Key", b"../../../state", READ),
    ("Idempotency-Key", b"${jndi:ldap://127.0.0.1/a}", READ),
    ("Idempotency-Key", b"%0d%0aPlanted: 1", READ),
    ("Idempotency-Key", b"a\tb", READ),
    ("Idempotency-Key", "schlüssel".encode("latin-1"), READ),
    ("Idempotency-Key", "schlüssel \U0001f511 \u202e".encode(), READ),
    ("Idempotency-Key", b"\xff\xfe\x80", READ),
    ("Idempotency-Key", b"a" * 255, READ),
    ("Idempotency-Key", b"a" * 256, WRONG),
    ("Idempotency-Key", b"", WRONG),
    ("Idempotency-Key", b"   ", WRONG),
    ("Idempotency-Key", b"a\0b", WRONG),
    ("Idempotency-Key", b"a\x1b[2Jb", READ),
    ("Idempotency-Key", b"a\x7fb", READ),
    ("Idempotency-Key", b"a\x08b", READ),
    ("Idempotency-Key", b"a\rPlanted: 1", WRONG),
    ("Idempotency-Key", b"a\nPlanted: 1", READ),
    ("Idempotency-Key", b"a\r\nPlanted: 1", READ),
    ("Idempotency-Key", b"a\r\n Planted: 1", READ),
    ("Idempotency-Key", b"a\r\n\r\nHTTP/1.1 200 Planted", WRONG),
    ("Idempotency-Key", LONG.encode(), TOO_LARGE),
    ("Prefer", b"respond-async", READ),
    ("Prefer", b"RESPOND-ASYNC, wait=10", READ),
    ("Prefer", b"respond-async;--", READ),
    ("Prefer", b"respond-async\r\nPlanted: 1", READ),
    ("Prefer", b"respond-async\nPlanted: 1", READ),
    ("Prefer", b"respond-async\rPlanted: 1", WRONG),
    ("Prefer", b"respond-async\0", WRONG),
    ("Prefer", b"\x1b]0;Planted\x07", READ),
    ("Prefer", "respönd-async".encode(), READ),
    ("Prefer", b"", READ),
    ("Prefer", b"," * 4000, READ),
    ("Prefer", LONG.encode(), TOO_LARGE),
    ("Planted\r\nX", b"1", WRONG),
    ("Planted\0", b"1", WRONG),
    ("X-Long", LONG.encode(), TOO_LARGE),
    ("Authorization", b"Bearer " + b"e30." * 20_000, TOO_LARGE),
    ("X-Forwarded-For", b"127.0.0.1\x0b", WRONG),
]


@pytest.mark.parametrize(("name", "value", "status"), HEADERS, ids=lambda value: ascii(value)[2:30])
def test_a_header_is_read_or_refused_and_does_not_come_back(cloud: Cloud, name: str, value: bytes, status: int) -> None:
    response = ask(cloud, "POST", "/swap", name.encode() + b": " + value, REFUSED)

    clean(response)
    assert response.status == status, response


KEYS = [value.decode("latin-1") for name, value, status in HEADERS if (name, status) == ("Idempotency-Key", READ)]


def test_every_key_names_a_video_of_its_own(stack: FakeVideoStack) -> None:
    free = stack.with_slots(len(KEYS))

    first, again = ([free.post(idempotency_key=key) for key in KEYS] for _ in range(2))

    assert {response.status for response in first} == {202}
    assert [response.body["task_id"] for response in again] == [response.body["task_id"] for response in first]
    assert len({response.body["task_id"] for response in first}) == len(KEYS)
    assert all(
        response.headers["Location"].isascii() and response.headers["Location"].isprintable() for response in first
    )


# Control characters, line ends, `--`, quotes, other letters, folders above: what a name of a file or a task may be.
NAMES = [
    "--help.png",
    "a\r\nPlanted: 1.png",
    "a\n.png",
    "a\0.png",
    "\x1b[2J\x7f.png",
    "\u202egnp.exe",
    "sch\u00f6n \U0001f600.png",
    'a; filename="b.exe".png',
    "a%0d%0aPlanted%3a 1.png",
    "a?acl#b&c.png",
    "../../swaps/a.png",
    "a b+c.png",
    "\u00e9" * 505,
]


@pytest.mark.parametrize("path", ["/download/{}", "/download/018f0000-0000-7000-8000-000000000000?file={}"])
@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name)[1:20])
def test_a_download_by_a_crooked_name_leads_nowhere(cloud: Cloud, path: str, name: str) -> None:
    response = ask(cloud, "GET", path.format(quote(name, safe="")))

    clean(response)
    assert response.status in (400, 404), response
    assert not any(line.lower().startswith("location:") for line in response.head)


def test_a_download_is_saved_under_the_name_of_its_task_whatever_the_key_was(stack: FakeVideoStack) -> None:
    free = stack.with_slots(len(KEYS))
    for key in KEYS:
        task_id = free.post(idempotency_key=key).body["task_id"]
        stack.finish(task_id)

        place = stack.http("GET", f"/download/{task_id}").body["url"]

        assert re.fullmatch(r"https://[\w./-]+\?for=\d+&as=[0-9a-f-]{36}\.mp4", place)


# A face in the metadata of an upload, as S3 lets it be sent.
FACES = ["--", "s3://a/b\t", "%0d%0aPlanted: 1", "=?UTF-8?B?UGxhbnRlZA==?=", "file:///etc/passwd", "a" * 1900]


def test_uploads_by_crooked_names_are_answered_beside_their_like_and_nowhere_else(cloud: Cloud) -> None:
    s3, bucket, outputs = cloud.client("s3"), cloud.bucket("uploads"), cloud.bucket("outputs")
    uploads = [(name, "") for name in NAMES] + [(f"face-{number}", face) for number, face in enumerate(FACES)]
    outcomes = {}
    for name, face in uploads:
        key = f"memes/{name}"
        s3.put_object(Bucket=bucket, Key=key, Body=b"GIF89a", Metadata={"face": face} if face else {})

        def came(name: str = name) -> Any:
            try:
                return json.loads(s3.get_object(Bucket=outputs, Key=f"failed/{name}.json")["Body"].read())
            except s3.exceptions.ClientError:  # not always NoSuchKey: some of the names make no XML
                return None

        outcomes[name] = wait_for(came)

    for name, face in uploads:
        instance = outcomes[name]["instance"]
        assert instance.startswith("urn:coldswap:request:"), "no name of a file, which may be a person's"
        assert outcomes[name]["code"] in (("refused_url", "invalid_request") if face else ("invalid_request",))
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=outputs)["Contents"]]
    assert sorted(keys) == sorted(f"failed/{name}.json" for name, _ in uploads)
