"""Reads objects of S3 without boto3, whose import and client take longer than the first megabytes of a model.

GET only, over connections that stay open, signed by Signature Version 4 (Amazon S3 API Reference, "Authenticating
Requests: Using the Authorization Header") with the credentials of the environment, as Lambda sets them. Whatever is
special (other credentials, endpoints, proxies, a bucket elsewhere) is left to boto3.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
import re
import select
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import ssl

CONNECT_SECONDS, READ_SECONDS = 2.0, 10.0  # as boto3's client has them (storage.py)
IDLE_SECONDS = 4.0  # how long a connection is kept; S3 closes it later, and a frozen sandbox does not hear of that
BACKOFF_SECONDS = (0.05, 0.2, 0.8)  # before each further try
MAX_ERROR_BYTES = 64 << 10
EMPTY_SHA256 = hashlib.sha256().hexdigest()
HEADERS = {"Range": "Range", "IfNoneMatch": "If-None-Match"}  # by boto3's names
SPECIAL = (  # variables that only boto3 follows
    "AWS_ENDPOINT_URL_S3",
    "AWS_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "AWS_USE_FIPS_ENDPOINT",
    "AWS_USE_DUALSTACK_ENDPOINT",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "http_proxy",
    "https_proxy",
)
_REGION = re.compile(r"(?!cn-|us-iso|eu-isoe)[a-z]{2}(?:-gov)?-[a-z]+-\d{1,2}")  # with hosts in amazonaws.com
_CODE = re.compile(rb"<Code>([\w.]{1,100})</Code>")


@dataclass(frozen=True)
class Credentials:
    """Of AWS."""

    key: str
    secret: str = field(repr=False)
    token: str = field(repr=False)  # of temporary ones; "" for none


def reader() -> Any:
    """What reads S3 by `get_object`: an S3Reader where the environment is as plain as Lambda's, or boto3's client."""
    environment = os.environ
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or ""
    credentials = Credentials(
        *(environment.get(f"AWS_{name}", "") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN"))
    )
    endpoint = environment.get("AWS_ENDPOINT_URL", "")
    is_plain = not any(environment.get(name) for name in SPECIAL) and _REGION.fullmatch(region)
    has_host = not endpoint or re.fullmatch(r"https?://\d+(\.\d+){3}(:\d+)?/?", endpoint)
    if is_plain and has_host and credentials.key and credentials.secret:
        return S3Reader(region, credentials, endpoint)
    return _boto3()


class S3Reader:
    """The one call of boto3's S3 client that models need. Safe to use from several threads."""

    def __init__(self, region: str, credentials: Credentials, endpoint: str = "") -> None:
        """`endpoint` is a URL with an IP address, whose paths begin with the bucket; "" for AWS."""
        self._region = region
        self._credentials = credentials
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._idle: dict[str, list[tuple[HTTPConnection, float]]] = {}  # by origin, with the time of its last use

    def get_object(self, **parameters: str) -> dict[str, Any]:
        """As boto3, with Bucket, Key, Range and IfNoneMatch: Body, ContentLength, ETag and ContentRange.

        Tries again where S3 fails or does not answer. Raises botocore's ClientError where S3 refuses, and for 304, and
        OSError where it cannot be reached.
        """
        for pause in (*BACKOFF_SECONDS, None):
            try:
                origin, connection, response = self._request(parameters)
            except OSError:
                if pause is None:
                    raise
            else:
                body = Body(self, origin, connection, response)
                if response.status in (200, 206):
                    return _describe(response, body)
                with body:
                    content = body.read(MAX_ERROR_BYTES)
                if response.status in (301, 307, 400):  # the bucket is elsewhere, or wants to be asked otherwise
                    answer: dict[str, Any] = _boto3().get_object(**parameters)
                    return answer
                if response.status < 500 or pause is None:
                    raise _refusal(response.status, content)
            time.sleep(pause)
        raise AssertionError("the last try has returned or raised")

    def give_back(self, origin: str, connection: HTTPConnection) -> None:
        """Keep a connection, whose response has been read to its end, for the next request."""
        with self._lock:
            self._idle.setdefault(origin, []).append((connection, time.time()))

    def _request(self, parameters: Mapping[str, str]) -> tuple[str, HTTPConnection, HTTPResponse]:
        """Send a request, on an open connection if there is one: its origin, and the answer. Raises OSError."""
        origin, path = self._locate(parameters["Bucket"], parameters["Key"])
        headers = sign(origin.partition("://")[2], path, self._region, self._credentials, time.time())
        headers |= {name: parameters[key] for key, name in HEADERS.items() if key in parameters}
        connection = self._take(origin)
        try:
            connection.request("GET", path, headers=headers)
            return origin, connection, connection.getresponse()
        except HTTPException as error:
            connection.close()
            raise ConnectionError(type(error).__name__) from error
        except BaseException:
            connection.close()
            raise

    def _locate(self, bucket: str, key: str) -> tuple[str, str]:
        """The origin and the path of an object. A name with a dot is in no certificate of virtual hosts."""
        path = "/" + quote(key, safe="/~")
        if self._endpoint:
            parts = urlsplit(self._endpoint)
            return f"{parts.scheme}://{parts.netloc}", f"/{bucket}{path}"
        host = f"s3.{self._region}.amazonaws.com"
        return (f"https://{host}", f"/{bucket}{path}") if "." in bucket else (f"https://{bucket}.{host}", path)

    def _take(self, origin: str) -> HTTPConnection:
        """An idle connection that S3 has not closed, or a new one."""
        while True:
            with self._lock:
                connections = self._idle.get(origin)
                if not connections:
                    break
                connection, used = connections.pop()
            if 0 <= time.time() - used < IDLE_SECONDS and not _has_ended(connection):
                return connection
            connection.close()
        scheme, _, address = origin.partition("://")
        if scheme == "http":
            fresh = HTTPConnection(address, timeout=CONNECT_SECONDS)
        else:
            fresh = HTTPSConnection(address, timeout=CONNECT_SECONDS, context=_tls())
        fresh.connect()
        fresh.sock.settimeout(READ_SECONDS)
        return fresh


class Body:
    """The body of a response. Where it has been read to its end, its connection is used again."""

    def __init__(self, reader: S3Reader, origin: str, connection: HTTPConnection, response: HTTPResponse) -> None:
        self._reader = reader
        self._origin = origin
        self._connection = connection
        self._response = response

    def read(self, size: int) -> bytes:
        """At most so many bytes. Raises OSError, also where the body breaks off."""
        try:
            return self._response.read(size)
        except HTTPException as error:
            raise ConnectionError(type(error).__name__) from error

    def readinto(self, view: memoryview) -> int:
        """Fill the view, or what there is left for; the number of bytes, 0 at the end. Raises OSError."""
        try:
            return self._response.readinto(view)
        except HTTPException as error:
            raise ConnectionError(type(error).__name__) from error

    def __enter__(self) -> Body:
        return self

    def __exit__(self, *_: object) -> None:
        if self._response.isclosed() and not self._response.will_close:
            self._reader.give_back(self._origin, self._connection)
        else:
            self._connection.close()


def sign(host: str, path: str, region: str, credentials: Credentials, at: float) -> dict[str, str]:
    """The headers of a GET without a query that make it a signed request; `at` is the time (epoch, seconds)."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at))
    headers = {"host": host, "x-amz-content-sha256": EMPTY_SHA256, "x-amz-date": stamp}
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = ";".join(headers)
    lines = ["GET", path, "", *(f"{name}:{value}" for name, value in headers.items()), "", names, EMPTY_SHA256]
    scope = f"{stamp[:8]}/{region}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}").hex()
    credential = f"Credential={credentials.key}/{scope}"
    return {**headers, "Authorization": f"AWS4-HMAC-SHA256 {credential}, SignedHeaders={names}, Signature={signature}"}


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


def _has_ended(connection: HTTPConnection) -> bool:
    """Whether S3 has closed an idle connection: then there is something to read, its end."""
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return bool(poll.poll(0))


def _describe(response: HTTPResponse, body: Body) -> dict[str, Any]:
    headers = response.headers
    return {
        "Body": body,
        "ContentLength": int(headers.get("Content-Length", "-1")),
        "ETag": headers.get("ETag", ""),
        "ContentRange": headers.get("Content-Range", ""),
    }


def _refusal(status: int, content: bytes) -> Exception:
    """What boto3 raises for such a response."""
    importlib.import_module("botocore")  # before its module: another thread may be importing it
    from botocore.exceptions import ClientError

    code = _CODE.search(content)
    error = {"Code": code[1].decode() if code else str(status)}
    refusal: Exception = ClientError({"Error": error, "ResponseMetadata": {"HTTPStatusCode": status}}, "GetObject")
    return refusal


@cache
def _tls() -> ssl.SSLContext:
    """The context of every connection: it trusts whom `requests` trusts."""
    import ssl

    import certifi

    return ssl.create_default_context(cafile=certifi.where())


def _boto3() -> Any:
    from layers.core.storage import client

    return client("s3")
