"""S3 within limits, with errors of ours. boto3 takes 0.3 s to import, so the first call does that."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from layers.core.deadline import Deadline
from layers.core.errors import (
    InvalidRequest,
    ObjectNotFound,
    StorageFailed,
    StorageFull,
    TooLarge,
)

PIECE_BYTES = 1 << 18  # read at once

_clients: dict[str, Any] = {}
_clients_lock = threading.Lock()


def client(service: str) -> Any:
    """The process's one boto3 client of a service; clients are thread-safe, but making them is not."""
    with _clients_lock:
        if service not in _clients:
            import boto3
            from botocore.config import Config

            config = Config(
                connect_timeout=2,
                read_timeout=10,
                retries={"mode": "standard", "max_attempts": 4},
                max_pool_connections=24,
                signature_version="s3v4" if service == "s3" else None,
                # With virtual hosts a link names the bucket's region. For a new bucket the global name responds with a
                # redirect, which the signature does not survive. An endpoint that is an IP address still gets paths.
                s3={"addressing_style": "virtual"},
            )
            _clients[service] = boto3.client(service, config=config)
        return _clients[service]


@dataclass(frozen=True)
class StoredObject:
    """An object with its bytes."""

    data: bytes
    etag: str
    content_type: str | None
    metadata: dict[str, str] = field(default_factory=dict)
    last_modified: float | None = None  # seconds of the epoch


@dataclass(frozen=True)
class Head:
    """An object without its bytes."""

    size: int  # bytes
    etag: str
    content_type: str | None
    metadata: dict[str, str] = field(default_factory=dict)
    last_modified: float | None = None  # seconds of the epoch
    version: str | None = None  # where the bucket has versions


class Storage:
    """Objects in the stack's buckets."""

    def connect(self) -> None:
        """Import boto3 and make its client, which the first call does otherwise.

        Threads that import boto3 and what shares modules with it, such as requests, at the same time may fail: Python
        takes them for a deadlock.
        """
        client("s3")

    def read(self, bucket: str, key: str, limit: int, deadline: Deadline) -> StoredObject:
        """Read the whole object, at most `limit` bytes, in pieces.

        Raises ObjectNotFound, TooLarge, StorageFailed or OutOfTime.
        """
        with _translate_errors(f"s3://{bucket}/{key}"):
            response = client("s3").get_object(Bucket=bucket, Key=key)
            body = response["Body"]
            try:
                size = int(response["ContentLength"])
                if size > limit:
                    raise TooLarge(f"s3://{bucket}/{key} has {size} bytes; at most {limit} are allowed.")
                data = bytearray()
                while piece := body.read(PIECE_BYTES):
                    data += piece
                    deadline.check("reading from storage")
            finally:
                body.close()
        last_modified = response.get("LastModified")
        return StoredObject(
            bytes(data),
            response["ETag"],
            response.get("ContentType"),
            response.get("Metadata") or {},
            last_modified and last_modified.timestamp(),
        )

    def read_start(self, bucket: str, key: str, count: int) -> bytes:
        """The first `count` bytes of an object, or all if it has fewer. Raises ObjectNotFound or StorageFailed."""
        with _translate_errors(f"s3://{bucket}/{key}"):
            body = client("s3").get_object(Bucket=bucket, Key=key)["Body"]
            try:
                content: bytes = body.read(count)
            finally:
                body.close()
        return content

    def head(self, bucket: str, key: str) -> Head | None:
        """Describe an object; None if it does not exist. Raises StorageFailed."""
        try:
            with _translate_errors(f"s3://{bucket}/{key}"):
                response = client("s3").head_object(Bucket=bucket, Key=key)
        except ObjectNotFound:
            return None
        last_modified = response.get("LastModified")
        return Head(
            int(response["ContentLength"]),
            response["ETag"],
            response.get("ContentType"),
            response.get("Metadata") or {},
            last_modified and last_modified.timestamp(),
            response.get("VersionId"),
        )

    def write(
        self, bucket: str, key: str, data: bytes, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        """Write the object, whole or not at all. Raises StorageFailed."""
        with _translate_errors(f"s3://{bucket}/{key}"):
            client("s3").put_object(
                Bucket=bucket, Key=key, Body=data, ContentType=content_type, Metadata=metadata or {}
            )

    def download(self, bucket: str, key: str, path: Path, limit: int, deadline: Deadline) -> int:
        """Stream the object, at most `limit` bytes, into a file; return its size in bytes.

        Raises ObjectNotFound, TooLarge, StorageFailed, StorageFull or OutOfTime.
        """
        with _translate_errors(f"s3://{bucket}/{key}"):
            response = client("s3").get_object(Bucket=bucket, Key=key)
        size = int(response["ContentLength"])
        if size > limit:
            response["Body"].close()
            raise TooLarge(f"s3://{bucket}/{key} has {size} bytes; at most {limit} are allowed.")
        with closing(response["Body"]) as body, open_for_writing(path) as file:
            while True:
                with _translate_errors(f"s3://{bucket}/{key}"):
                    piece = body.read(PIECE_BYTES)
                if not piece:
                    return size
                file.write(piece)
                deadline.check("reading from storage")

    def upload(
        self, bucket: str, key: str, path: Path, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        """Stream a file of at most 5 GB into an object, whole or not at all. Raises StorageFailed."""
        with path.open("rb") as file, _translate_errors(f"s3://{bucket}/{key}"):
            client("s3").put_object(
                Bucket=bucket, Key=key, Body=file, ContentType=content_type, Metadata=metadata or {}
            )

    def copy(self, bucket: str, key: str, to: str) -> None:
        """Copy the object to another key of its bucket, inside S3.

        Raises ObjectNotFound or StorageFailed.
        """
        with _translate_errors(f"s3://{bucket}/{key}"):
            client("s3").copy_object(Bucket=bucket, Key=to, CopySource={"Bucket": bucket, "Key": key})

    def renew(self, bucket: str, key: str, head: Head) -> None:
        """Copy the object onto itself, so that the bucket's lifecycle counts from now. `head` describes the object.

        Raises ObjectNotFound or StorageFailed.
        """
        kind = {"ContentType": head.content_type} if head.content_type else {}
        with _translate_errors(f"s3://{bucket}/{key}"):
            client("s3").copy_object(
                Bucket=bucket,
                Key=key,
                CopySource={"Bucket": bucket, "Key": key},
                # S3 refuses a copy onto itself that changes nothing (API reference, CopyObject).
                MetadataDirective="REPLACE",
                Metadata=head.metadata,
                **kind,
            )

    def delete(self, bucket: str, key: str) -> None:
        """Delete the object, if it exists. Raises StorageFailed."""
        with _translate_errors(f"s3://{bucket}/{key}"):
            client("s3").delete_object(Bucket=bucket, Key=key)

    def list_keys(self, bucket: str, prefix: str) -> Iterator[list[str]]:
        """The keys that begin so, in their order, by pages of at most 1000. Raises StorageFailed."""
        start: dict[str, str] = {}
        while True:
            with _translate_errors(f"s3://{bucket}/{prefix}"):
                response = client("s3").list_objects_v2(Bucket=bucket, Prefix=prefix, **start)
            yield [each["Key"] for each in response.get("Contents", [])]
            if not response.get("IsTruncated"):
                return
            start = {"ContinuationToken": response["NextContinuationToken"]}

    def presign_get(self, bucket: str, key: str, seconds: int, filename: str | None = None) -> str:
        """A URL by which anyone can read the object for that many seconds; made without a request.

        With a file name a browser saves the object instead of showing it.
        """
        saved = {"ResponseContentDisposition": f'attachment; filename="{filename}"'} if filename else {}
        url: str = client("s3").generate_presigned_url(
            "get_object", Params={"Bucket": bucket, "Key": key, **saved}, ExpiresIn=seconds
        )
        return url

    def presign_post(self, bucket: str, key: str, limit_bytes: int, seconds: int) -> dict[str, Any]:
        """The `url` and `fields` of a form that uploads one object of at most that many bytes."""
        form: dict[str, Any] = client("s3").generate_presigned_post(
            bucket, key, Conditions=[["content-length-range", 1, limit_bytes]], ExpiresIn=seconds
        )
        return form


@contextmanager
def open_for_writing(path: Path) -> Iterator[IO[bytes]]:
    """Open the file for writing. Raises StorageFull, also inside, where the disk is full."""
    try:
        with path.open("wb") as file:
            yield file
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFull("There is no disk space left for temporary files.") from None
        raise


def parse_s3_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`. Raises InvalidRequest."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() != "s3" or not bucket or not key or len(key.encode()) > 1024:
        raise InvalidRequest("An S3 URI has the form s3://bucket/key.")
    return bucket, key


def is_forbidden(error: StorageFailed) -> bool:
    """Whether S3 refused access. So it answers for what is missing, too, to those who may not list keys."""
    response = getattr(error.__cause__, "response", {})
    return response.get("Error", {}).get("Code") in ("403", "AccessDenied", "Forbidden")


@contextmanager
def _translate_errors(uri: str) -> Iterator[None]:
    """Translate errors of botocore, and of the connections under it, into ours."""
    from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        if code in ("NoSuchKey", "NoSuchBucket", "404", "NotFound"):
            raise ObjectNotFound(f"There is nothing at {uri}.") from None
        raise StorageFailed(f"Storage responded with {code or 'an error'} for {uri}.") from error
    except (BotoCoreError, HTTPClientError, HTTPError, OSError) as error:
        raise StorageFailed(f"Storage did not respond for {uri} ({type(error).__name__}).") from error


def decode_metadata(value: str) -> str:
    """A value of an object's metadata as it was written: S3 returns what is not ASCII in encoded words (RFC 2047).

    The same value if it has none, or bad ones.
    """
    if "=?" not in value:
        return value
    from email.errors import HeaderParseError
    from email.header import decode_header, make_header

    try:
        return str(make_header(decode_header(value)))
    except (HeaderParseError, LookupError, ValueError):
        return value
