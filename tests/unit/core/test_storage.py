"""S3 through the real client, against canned answers, and against connections that fail."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

from layers.core import storage
from layers.core.deadline import Deadline
from layers.core.errors import (
    InvalidRequest,
    ObjectNotFound,
    OutOfTime,
    StorageFailed,
    StorageFull,
    TooLarge,
)
from layers.core.storage import Head, Storage, open_for_writing, parse_s3_uri

NAMES = {"Bucket": "b", "Key": "k"}
SOON = Deadline.after(3600)


def s3(**more: Any) -> Any:
    return boto3.client("s3", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test", **more)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    client = s3()
    monkeypatch.setitem(storage._clients, "s3", client)
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def body(data: bytes, content_length: int | None = None) -> dict[str, Any]:
    size = len(data) if content_length is None else content_length
    return {"Body": StreamingBody(io.BytesIO(data), size), "ContentLength": size, "ETag": '"e"', "Metadata": {"a": "b"}}


def test_an_object_comes_whole_with_what_is_known_of_it(stub: Stubber) -> None:
    stub.add_response("get_object", {**body(b"x" * 700_000), "LastModified": datetime.fromtimestamp(7, UTC)}, NAMES)
    stored_object = Storage().read("b", "k", 700_000, SOON)
    assert (len(stored_object.data), stored_object.etag, stored_object.metadata, stored_object.last_modified) == (
        700_000,
        '"e"',
        {"a": "b"},
        7,
    )


def test_more_bytes_than_the_limit_are_not_read(stub: Stubber) -> None:
    response = body(b"x" * 11)
    stub.add_response("get_object", response, NAMES)
    with pytest.raises(TooLarge):
        Storage().read("b", "k", 10, SOON)
    assert response["Body"]._amount_read == 0


@pytest.mark.parametrize(("count", "start"), [(3, b"abc"), (9, b"abcdef")])
def test_of_an_object_however_large_only_the_start_is_read(stub: Stubber, count: int, start: bytes) -> None:
    raw = io.BytesIO(b"abcdef")
    stub.add_response("get_object", {"Body": StreamingBody(raw, 6), "ContentLength": 6}, NAMES)

    assert Storage().read_start("b", "k", count) == start

    assert raw.closed, "so that the rest is not sent"


def test_a_start_that_is_not_there_is_told_as_missing(stub: Stubber) -> None:
    stub.add_client_error("get_object", "NoSuchKey", http_status_code=404)
    with pytest.raises(ObjectNotFound):
        Storage().read_start("b", "k", 3)


def test_a_body_cut_short_is_a_failure_and_not_a_short_object(stub: Stubber) -> None:
    stub.add_response("get_object", body(b"x" * 5, content_length=10), NAMES)
    with pytest.raises(StorageFailed):
        Storage().read("b", "k", 10, SOON)


def test_reading_stops_at_the_deadline(stub: Stubber) -> None:
    stub.add_response("get_object", body(b"x"), NAMES)
    with pytest.raises(OutOfTime):
        Storage().read("b", "k", 10, Deadline.after(-1))


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("NoSuchKey", 404, ObjectNotFound),
        ("NoSuchBucket", 404, ObjectNotFound),
        ("AccessDenied", 403, StorageFailed),
        ("SlowDown", 503, StorageFailed),
        ("InternalError", 500, StorageFailed),
    ],
)
def test_errors_of_s3_are_those_of_the_family(stub: Stubber, code: str, status: int, kind: type[Exception]) -> None:
    stub.add_client_error("get_object", code, http_status_code=status)
    with pytest.raises(kind):
        Storage().read("b", "k", 10, SOON)


def test_a_head_of_nothing_is_none(stub: Stubber) -> None:
    stub.add_client_error("head_object", "404", http_status_code=404)
    assert Storage().head("b", "k") is None


def test_a_head_tells_size_and_metadata(stub: Stubber) -> None:
    response = {
        "ContentLength": 3,
        "ETag": '"e"',
        "ContentType": "image/png",
        "Metadata": {"face": "s3://b/f"},
        "LastModified": datetime.fromtimestamp(7, UTC),
        "VersionId": "v",
    }
    stub.add_response("head_object", response, NAMES)
    assert Storage().head("b", "k") == Head(3, '"e"', "image/png", {"face": "s3://b/f"}, 7, "v")


def test_what_is_written_has_its_type(stub: Stubber) -> None:
    expected = {**NAMES, "Body": b"data", "ContentType": "image/png", "Metadata": {}}
    stub.add_response("put_object", {}, expected)
    Storage().write("b", "k", b"data", "image/png")


def test_a_refused_connection_is_a_storage_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
    client = s3(endpoint_url=endpoint, config=Config(retries={"max_attempts": 0}))
    monkeypatch.setitem(storage._clients, "s3", client)
    with pytest.raises(StorageFailed) as raised:
        Storage().write("b", "k", b"", "image/png")
    assert raised.value.retryable


def test_a_form_bounds_the_size_and_a_link_names_the_object(stub: Stubber) -> None:
    form = Storage().presign_post("b", "k", 1000, 60)
    assert form["fields"]["key"] == "k"
    assert "policy" in form["fields"]
    assert "/k?" in Storage().presign_get("b", "k", 60)


@pytest.mark.parametrize("uri", ["s3://bucket/key", "S3://bucket/key", "s3://bucket/deep/key with blanks?and=more"])
def test_an_s3_uri_has_a_bucket_and_a_key(uri: str) -> None:
    assert parse_s3_uri(uri) == ("bucket", uri[len("s3://bucket/") :])


@pytest.mark.parametrize("uri", ["s3://bucket", "s3://bucket/", "s3:///key", "https://b/k", "", "s3://b/" + "k" * 1025])
def test_anything_else_is_not_an_s3_uri(uri: str) -> None:
    with pytest.raises(InvalidRequest):
        parse_s3_uri(uri)


@pytest.mark.parametrize(
    ("endpoint", "prefix"),
    [
        (None, "https://pictures.s3.eu-central-1.amazonaws.com/"),
        ("http://127.0.0.1:9", "http://127.0.0.1:9/pictures"),
    ],
)
def test_links_name_the_region_and_a_local_endpoint_gets_paths(
    endpoint: str | None, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "_clients", {})
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "nothing")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    assert storage.Storage().presign_get("pictures", "a.jpg", 60).startswith(prefix)
    assert storage.Storage().presign_post("pictures", "a.jpg", 5, 60)["url"].startswith(prefix)


def test_an_object_goes_into_a_file(stub: Stubber, tmp_path: Path) -> None:
    stub.add_response("get_object", body(b"x" * 700_000), NAMES)
    assert Storage().download("b", "k", tmp_path / "k", 700_000, Deadline.after(60)) == 700_000
    assert (tmp_path / "k").read_bytes() == b"x" * 700_000


@pytest.mark.parametrize(("content_length", "limit", "kind"), [(700_000, 699_999, TooLarge), (10, 10, StorageFailed)])
def test_a_file_is_not_larger_than_allowed_and_not_shorter_than_promised(
    stub: Stubber, tmp_path: Path, content_length: int, limit: int, kind: type[Exception]
) -> None:
    stub.add_response("get_object", body(b"x" * min(content_length, 5), content_length), NAMES)
    with pytest.raises(kind):
        Storage().download("b", "k", tmp_path / "k", limit, Deadline.after(60))


def test_a_full_disk_is_told_from_other_faults() -> None:
    # Every write to /dev/full fails as on a full disk (full(4)).
    with pytest.raises(StorageFull), open_for_writing(Path("/dev/full")) as file:
        file.write(b"x")


def test_a_file_becomes_an_object(stub: Stubber, tmp_path: Path) -> None:
    path = tmp_path / "short.mp4"
    path.write_bytes(b"x" * 100)
    stub.add_response("put_object", {}, {**NAMES, "Body": ANY, "ContentType": "video/mp4", "Metadata": {}})
    Storage().upload("b", "k", path, "video/mp4")


def test_an_object_is_copied_and_deleted_by_its_key(stub: Stubber) -> None:
    stub.add_response("copy_object", {}, {"Bucket": "b", "Key": "to", "CopySource": NAMES})
    stub.add_response("delete_object", {}, {"Bucket": "b", "Key": "to"})
    Storage().copy("b", "k", "to")
    Storage().delete("b", "to")


def test_an_object_is_renewed_with_all_that_is_known_of_it(stub: Stubber) -> None:
    replaced = {"MetadataDirective": "REPLACE", "ContentType": "video/mp4", "Metadata": {"a": "b"}}
    stub.add_response("copy_object", {}, {**NAMES, "CopySource": NAMES, **replaced})
    Storage().renew("b", "k", Head(3, '"e"', "video/mp4", {"a": "b"}))


def test_a_link_can_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(storage._clients, "s3", s3())
    assert "attachment%3B%20filename%3D%22short.mp4%22" in Storage().presign_get("b", "k", 60, "short.mp4")


@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        ("s3://b/f.png", "s3://b/f.png"),
        ("=?UTF-8?Q?s3://b/faces/J=C3=BCrgen.png?=", "s3://b/faces/J\u00fcrgen.png"),
        ("=?utf-8?B?czM6Ly9iL2ZhY2VzL0rDvHJnZW4ucG5n?=", "s3://b/faces/J\u00fcrgen.png"),
        ("=?UTF-8?Q?s3://b/faces/?= =?UTF-8?Q?=E6=9D=8E.png?=", "s3://b/faces/\u674e.png"),
        ("=?ISO-8859-1?Q?J=FCrgen?=", "J\u00fcrgen"),
        ("https://example.com/?a=?b", "https://example.com/?a=?b"),
        ("=?no-such-charset?Q?a?=", "=?no-such-charset?Q?a?="),
        ("=?UTF-8?B?a?=", "=?UTF-8?B?a?="),
        ("=?UTF-8?Q?=FF?=", "=?UTF-8?Q?=FF?="),
        ("", ""),
    ],
)
def test_metadata_that_are_not_ascii_are_decoded(stored: str, meant: str) -> None:
    assert storage.decode_metadata(stored) == meant
