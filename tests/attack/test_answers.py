"""Servers that answer slowly, endlessly, with far more than they say, or with something else than HTTP."""

from __future__ import annotations

import gzip
import io
import resource
import socket
import ssl
import zlib
from contextlib import suppress
from itertools import repeat

import pytest
import trustme

from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, RefusedUrl, TooLarge, UpstreamFailed
from layers.core.http_fetch import fetch, fetch_into
from tests.unit.core.test_http_fetch import Serve, get, resolve_to_loopback, server

LIMIT = 100_000  # of `get`
OK = b"HTTP/1.1 200 OK\r\n"
BOMB = gzip.compress(bytes(50 << 20))  # 50 KB


def endless(beginning: bytes, piece: bytes) -> Serve:
    """As fast as the reader takes it, until the reader goes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.settimeout(1)
        connection.sendall(beginning)
        for each in repeat(piece):
            connection.sendall(each)

    return serve


def dripping(beginning: bytes, piece: bytes) -> Serve:
    """A little, again and again, just before anybody would lose patience."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        connection.settimeout(0.03)
        while True:
            connection.sendall(piece)
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    return serve


def respond(payload: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(payload)

    return serve


FLOODS: list[tuple[str, Serve, type[Exception]]] = [
    ("body-without-length", endless(OK + b"\r\n", b"x" * 65536), TooLarge),
    ("length-beyond-limit", endless(OK + b"Content-Length: 100001\r\n\r\n", b"x" * 65536), TooLarge),
    ("length-of-terabytes", endless(OK + b"Content-Length: 1099511627776\r\n\r\n", b"x"), TooLarge),
    (
        "chunks",
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 32768 + b"\r\n"),
        TooLarge,
    ),
    ("tiny-chunks", endless(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 9999), TooLarge),
    (
        "chunk-of-terabytes",
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\nfffffffffff\r\n", b"x" * 65536),
        TooLarge,
    ),
    ("chunk-extension", endless(OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536), UpstreamFailed),
    (
        "trailers",
        endless(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * 9999),
        UpstreamFailed,
    ),
    ("headers", endless(OK, b"A: b\r\n" * 9999), UpstreamFailed),
    ("one-header", endless(OK + b"A: ", b"x" * 65536), UpstreamFailed),
    ("folded-header", endless(OK + b"A: b\r\n", b" c\r\n" * 9999), UpstreamFailed),
    ("status-line", endless(b"HTTP/1.1 200 ", b"x" * 65536), UpstreamFailed),
    ("no-line-end", endless(b"", b"x" * 65536), UpstreamFailed),
    ("continues", endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 999), UpstreamFailed),
    ("early-hints", endless(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 999), UpstreamFailed),
    ("zeros", endless(b"", bytes(65536)), UpstreamFailed),
]


@pytest.mark.parametrize(("serve", "kind"), [each[1:] for each in FLOODS], ids=[each[0] for each in FLOODS])
def test_a_flood_is_cut_off_without_being_kept(serve: Serve, kind: type[Exception]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with server(serve) as port, pytest.raises((kind, UpstreamFailed)) as raised:
        get(port, seconds=0.6)
    assert type(raised.value) is kind or "in time" in str(raised.value)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64_000, "KiB"


def test_no_more_of_a_body_is_read_than_was_said() -> None:
    with server(endless(OK + b"Content-Length: 99999\r\n\r\n", b"x" * 65536)) as port:
        assert len(get(port)) == 99_999


DRIPS = [
    ("status", b"HTTP/1.1 ", b"2"),
    ("headers", OK, b"A: b\r\n"),
    ("a-header", OK + b"A: ", b"b"),
    ("body", OK + b"Content-Length: 99999\r\n\r\n", b"x"),
    ("body-without-length", OK + b"\r\n", b"x"),
    ("chunks", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
    ("chunk-size", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    ("trailers", OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    ("continues", b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ("nothing", b"", b""),
]


@pytest.mark.parametrize(("beginning", "piece"), [each[1:] for each in DRIPS], ids=[each[0] for each in DRIPS])
def test_a_drip_does_not_outlast_the_deadline(beginning: bytes, piece: bytes) -> None:
    deadline = Deadline.after(0.12)
    with server(dripping(beginning, piece)) as port, pytest.raises(UpstreamFailed):
        get(port, seconds=0.12)
    assert deadline.left() > -2


@pytest.mark.parametrize(
    "spoken", [b"", b"\x16\x03\x01\x02\x00\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28"]
)
def test_a_handshake_that_never_ends_does_not_outlast_the_deadline(spoken: bytes) -> None:
    def serve(connection: socket.socket) -> None:
        connection.sendall(spoken)
        while connection.recv(65536):
            continue

    with server(serve) as port:
        origin, deadline = f"https://pictures.test:{port}", Deadline.after(0.12)
        with pytest.raises(UpstreamFailed):
            fetch(
                origin, limit=LIMIT, deadline=deadline, trusted_origins=frozenset({origin}), resolve=resolve_to_loopback
            )
    assert deadline.left() > -2


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_not_spoken(version: ssl.TLSVersion) -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.set_ciphers("ALL:@SECLEVEL=0")
    theirs.minimum_version, theirs.maximum_version = version, version
    trustme.CA().issue_cert("pictures.test").configure_cert(theirs)
    with server(respond(b""), theirs) as port:
        origin, deadline = f"https://pictures.test:{port}", Deadline.after(5)
        with pytest.raises(UpstreamFailed):
            fetch(
                origin, limit=LIMIT, deadline=deadline, trusted_origins=frozenset({origin}), resolve=resolve_to_loopback
            )


ENCODINGS = [
    b"gzip",
    b"x-gzip",
    b"GZIP",
    b"deflate",
    b"compress",
    b"br",
    b"zstd",
    b"dcb",
    b"identity, gzip",
    b"gzip, identity",
    b"gzip, gzip, gzip",
    b"identity\r\nContent-Encoding: gzip",
    b"aes128gcm",
    b"\xff",
]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_compressed_is_never_unpacked(encoding: bytes) -> None:
    head = OK + b"Content-Encoding: " + encoding + b"\r\nContent-Length: " + str(len(BOMB)).encode() + b"\r\n\r\n"
    with server(respond(head + BOMB)) as port, pytest.raises(UpstreamFailed, match="compressed"):
        get(port)


@pytest.mark.parametrize("transfer", [b"gzip", b"gzip, chunked", b"chunked, gzip", b"deflate", b"x-gzip"])
def test_a_compressed_transfer_stays_what_it_is(transfer: bytes) -> None:
    """It comes as it is, for the decoder to refuse, or not at all; 50 KB never become 50 MB."""
    serve = respond(OK + b"Transfer-Encoding: " + transfer + b"\r\n\r\n" + BOMB)
    with server(serve) as port, suppress(UpstreamFailed):
        assert len(get(port)) <= len(BOMB)


def test_a_bomb_that_calls_itself_a_picture_is_handed_on_as_the_bytes_it_is() -> None:
    for data in (BOMB, zlib.compress(bytes(1 << 20))):
        head = OK + b"Content-Type: image/png\r\nContent-Length: " + str(len(data)).encode() + b"\r\n\r\n"
        with server(respond(head + data)) as port:
            assert get(port) == data


NOT_HTTP = [
    b"",
    b"\r\n\r\n",
    b"HTTP/1.1\r\n\r\n",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 99 Low\r\n\r\n",
    b"HTTP/1.1 1000 High\r\n\r\n",
    b"HTTP/1.1 -200 OK\r\n\r\n",
    b"HTTP/9.9 200 OK\r\n\r\nx",
    b"HTTP/0.9 200 OK\r\n\r\nx",
    b"http/1.1 200 ok\r\n\r\nx",
    b"ICY 200 OK\r\n\r\n",
    b"<html>",
    b"220 smtp.test ESMTP\r\n",
    b"+OK POP3\r\n",
    b"-ERR unknown command\r\n",
    b"* OK IMAP4\r\n",
    b"RTSP/1.0 200 OK\r\n\r\n",
    b"\x00\x00\x00\x00",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    OK + b"Content-Length: -1\r\n\r\n",
    OK + b"Content-Length: 1e3\r\n\r\nx",
    OK + b"Content-Length: 0x10\r\n\r\nx",
    OK + b"Content-Length: 5, 6\r\n\r\nhello",
    OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    OK + b"Content-Length: \xb2\r\n\r\nhi",
    OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n",
    OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel",
    OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"f" * 70_000,
    OK + b"\x00: \x00\r\n\r\n",
    OK + b"A" * 70_000 + b": b\r\n\r\n",
    b"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/99999999\r\nContent-Length: 2\r\n\r\nhi",
    b"HTTP/1.1 304 Not Modified\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n",
    b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 99999999999\r\nContent-Length: 0\r\n\r\n",
]


@pytest.mark.parametrize("payload", NOT_HTTP)
def test_what_is_not_an_answer_is_an_error_of_the_family_or_few_bytes(payload: bytes) -> None:
    with server(respond(payload)) as port:
        message, body = "", b""
        try:
            body = get(port, path="/a.png?secret=hunter2")
        except (UpstreamFailed, InputNotFound, TooLarge, RefusedUrl) as error:
            message = str(error)
    assert "hunter2" not in message
    assert message.isprintable()
    assert len(body) <= 5


def test_headers_of_the_answer_do_not_reach_the_next_request() -> None:
    """No cookie and no authentication is kept: every request is the first."""
    requests = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(OK + b"Set-Cookie: a=b\r\nAlt-Svc: h3=':1'\r\nContent-Length: 0\r\n\r\n")

    with server(serve) as port:
        for _ in range(2):
            get(port)
    assert requests[0] == requests[1]
    assert b"ookie" not in requests[1]


class Full(io.BytesIO):
    """A disk that is full."""

    def write(self, data: object) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk_is_not_the_servers_fault() -> None:
    with server(respond(OK + b"Content-Length: 2\r\n\r\nhi")) as port, pytest.raises(OSError, match="No space"):
        fetch_into(
            Full(),
            f"http://pictures.test:{port}/",
            limit=LIMIT,
            deadline=Deadline.after(5),
            trusted_origins=frozenset({f"http://pictures.test:{port}"}),
            resolve=resolve_to_loopback,
        )


@pytest.fixture(autouse=True)
def _proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever proxies the environment names, nothing goes through one."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
