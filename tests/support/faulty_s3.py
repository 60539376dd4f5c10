"""A small S3 on localhost that fails on demand: for tests of what reads from storage.

It supports GET (with Range and If-None-Match), HEAD, PUT (with If-Match, If-None-Match and a SHA-256) and DELETE of
objects, and ListObjectsV2, in path style; it keeps objects in memory, and checks no signature.
"""

from __future__ import annotations

import base64
import hashlib
import mmap
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

CHUNK_BYTES = 64 << 10
EPOCH = datetime(2026, 1, 1)


@dataclass(frozen=True)
class Fault:
    """What goes wrong with a response."""

    status: int = 0  # respond with this status instead
    code: str = "InternalError"  # the XML error's code that goes with it
    break_after: int | None = None  # bytes of the body, then the connection is closed
    stall_after: int | None = None  # bytes of the body, then nothing more until the server ends
    flip_bit_at: int | None = None  # byte of the body whose lowest bit is turned
    then: Callable[[], None] = lambda: None  # called before the answer, for instance to change an object


@dataclass(frozen=True)
class RecordedRequest:
    """A request to the server."""

    method: str
    key: str
    range: str


class FaultyS3:
    """One per test; use it as a context manager."""

    def __init__(self, pace: Callable[[int], None] = lambda size: None, host: str = "127.0.0.1") -> None:
        """`pace` is called before each piece of a body with its size in bytes, and may block; `host` is listened on."""
        self.objects: dict[str, bytes | mmap.mmap] = {}  # by "bucket/key"
        self.writes: dict[str, int] = {}  # by key: the number of the write; listed as so many seconds of 2026
        self.requests: list[RecordedRequest] = []
        self.pace = pace
        self.ending = threading.Event()
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = _Server((host, 0), _Handler)
        self._server.s3 = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        """The server's URL, for boto3's endpoint_url."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def fail(self, part_of_key: str, *faults: Fault) -> None:
        """The next requests for keys that contain this get these faults, one each."""
        with self._lock:
            self._faults.extend((part_of_key, fault) for fault in faults)

    def take_fault(self, key: str) -> Fault | None:
        """The fault that the next request for this key has."""
        with self._lock:
            for place, (part, fault) in enumerate(self._faults):
                if part in key:
                    del self._faults[place]
                    return fault
        return None

    def client(self, **config: Any) -> Any:
        """A boto3 client that talks to this server, and does not itself try again."""
        import boto3
        from botocore.config import Config

        settings: dict[str, Any] = {"retries": {"total_max_attempts": 1}, "s3": {"addressing_style": "path"}}
        return boto3.client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(**settings | config),
        )

    def __enter__(self) -> FaultyS3:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def faulty_s3() -> Iterator[FaultyS3]:
    """A running server."""
    with FaultyS3() as server:
        yield server


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    s3: FaultyS3

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up in mid-answer is part of the tests."""


def _etag(data: bytes | mmap.mmap) -> str:
    return f'"{hashlib.md5(data[:65536] + len(data).to_bytes(8)).hexdigest()}"'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        if "list-type=2" in self.path:
            self._list()
            return
        data, fault = self._find_object()
        if data is None:
            return
        etag = _etag(data)
        if self.headers.get("If-None-Match") == etag:
            self._respond(304, {"ETag": etag})
            return
        start, end, status = 0, len(data), 200
        headers = {"ETag": etag}
        if byte_range := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            start, end = int(byte_range[1]), min(int(byte_range[2] or len(data)) + 1, len(data))
            if start >= len(data):
                self._error(416, "InvalidRange")
                return
            status, headers["Content-Range"] = 206, f"bytes {start}-{end - 1}/{len(data)}"
        body = memoryview(data)[start:end]
        self._respond(status, headers, body, fault)

    def do_HEAD(self) -> None:
        data, _ = self._find_object()
        if data is not None:
            self._respond(200, {"Content-Length": str(len(data)), "ETag": _etag(data)})

    def do_PUT(self) -> None:
        s3, key = self.server.s3, self._key()
        s3.requests.append(RecordedRequest("PUT", key, ""))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        fault = s3.take_fault(key)
        if fault:
            fault.then()
        current = s3.objects.get(key)
        match, none_match = self.headers.get("If-Match"), self.headers.get("If-None-Match")
        checksum = self.headers.get("x-amz-checksum-sha256")
        if fault and fault.status:
            self._error(fault.status, fault.code)
        elif (match and (current is None or match != _etag(current))) or (none_match == "*" and current is not None):
            self._error(412, "PreconditionFailed")
        elif checksum and base64.b64decode(checksum) != hashlib.sha256(body).digest():
            self._error(400, "BadDigest")
        else:
            s3.objects[key] = body
            s3.writes[key] = len(s3.requests)
            self._respond(200, {"ETag": _etag(body)})

    def _list(self) -> None:
        bucket = self._key().rstrip("/")
        prefix = f"{bucket}/{parse_qs(urlsplit(self.path).query).get('prefix', [''])[0]}"
        entries = "".join(
            f"<Contents><Key>{key.removeprefix(bucket + '/')}</Key><Size>{len(data)}</Size>"
            f"<LastModified>{EPOCH + timedelta(seconds=self.server.s3.writes.get(key, 0)):%Y-%m-%dT%H:%M:%S.000Z}"
            "</LastModified></Contents>"
            for key, data in sorted(self.server.s3.objects.items())
            if key.startswith(prefix)
        )
        self._respond(200, {}, memoryview(f"<ListBucketResult>{entries}</ListBucketResult>".encode()))

    def do_DELETE(self) -> None:
        self.server.s3.requests.append(RecordedRequest("DELETE", self._key(), ""))
        self.server.s3.objects.pop(self._key(), None)
        self._respond(204, {})

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/")

    def _find_object(self) -> tuple[bytes | mmap.mmap | None, Fault | None]:
        """The object and its fault; None where the response has been sent already."""
        key = self._key()
        self.server.s3.requests.append(RecordedRequest(self.command, key, self.headers.get("Range", "")))
        fault = self.server.s3.take_fault(key)
        if fault:
            fault.then()
        if fault and fault.status:
            self._error(fault.status, fault.code)
            return None, None
        data = self.server.s3.objects.get(key)
        if data is None:
            self._error(404, "NoSuchKey")
        return data, fault

    def _error(self, status: int, code: str) -> None:
        body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{code}</Message></Error>".encode()
        self._respond(status, {}, memoryview(b"" if self.command == "HEAD" else body))

    def _respond(
        self,
        status: int,
        headers: dict[str, str],
        body: memoryview = memoryview(b""),  # noqa: B008 - immutable
        fault: Fault | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        fault = fault or Fault()
        if fault.flip_bit_at is not None:
            corrupt_body = bytearray(body)
            corrupt_body[fault.flip_bit_at] ^= 1
            body = memoryview(corrupt_body)
        stop = fault.break_after if fault.break_after is not None else fault.stall_after
        self._write(body[:stop])
        if fault.stall_after is not None:
            self.server.s3.ending.wait()
        if stop is not None:
            self.close_connection = True

    def _write(self, body: memoryview) -> None:
        for start in range(0, len(body), CHUNK_BYTES):
            chunk = body[start : start + CHUNK_BYTES]
            self.server.s3.pace(len(chunk))
            self.wfile.write(chunk)
