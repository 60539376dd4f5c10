"""What requests and urllib3 would do by themselves, and do not: quote, log, follow, retry, obey the environment."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import repeat
from pathlib import Path

import pytest
import trustme

from layers.core import http_transport
from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed
from layers.core.http_fetch import fetch, open_url
from layers.core.http_transport import HttpResponse
from tests.unit.core.test_http_fetch import LIMIT, Serve, get, resolve_to_loopback, respond, server

OK = b"HTTP/1.1 200 OK\r\n"
HI = OK + b"Content-Length: 2\r\n\r\nhi"


@contextmanager
def recording(answer: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server's port, and the requests that it got."""
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(answer)

    with server(serve) as port:
        yield port, requests


@contextmanager
def tls_server(serve: Serve) -> Iterator[tuple[int, list[str]]]:
    """The port of a server that is trusted as `pictures.test`, and the names that clients asked for."""
    names: list[str] = []
    authority, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    authority.issue_cert("pictures.test").configure_cert(theirs)
    theirs.sni_callback = lambda _, name, __: names.append(name)
    with server(serve, theirs) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_transport, "tls_context", lambda: ours)
        yield port, names


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No proxy, no password for the host, no other certificates."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine pictures.test login me password hunter2\ndefault login me password hunter2\n")
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.setenv(name, "/nowhere")

    with recording(HI) as (port, requests):
        assert get(port) == b"hi"
    assert b"uthorization" not in requests[0]
    with tls_server(respond(HI)) as (port, _):
        assert get_by_tls(port) == b"hi"


def get_by_tls(port: int, host: str = "pictures.test", seconds: float = 5.0) -> bytes:
    origin = f"https://{host}:{port}"
    return fetch(
        f"{origin}/",
        limit=LIMIT,
        deadline=Deadline.after(seconds),
        trusted_origins=frozenset({origin}),
        resolve=resolve_to_loopback,
    )


def ask(port: int, headers: Mapping[str, str]) -> AbstractContextManager[HttpResponse]:
    origin = f"http://pictures.test:{port}"
    return open_url(
        f"{origin}/a.png",
        deadline=Deadline.after(5),
        trusted_origins=frozenset({origin}),
        headers=headers,
        resolve=resolve_to_loopback,
    )


def test_a_request_has_the_headers_that_are_needed_and_no_more() -> None:
    with recording(HI) as (port, requests), ask(port, {"Range": "bytes=0-9"}):
        pass
    lines = requests[0].decode().split("\r\n")
    assert lines[0] == "GET /a.png HTTP/1.1"
    assert sorted(filter(None, lines[1:])) == [
        "Accept-Encoding: identity",
        "Connection: close",
        f"Host: pictures.test:{port}",
        "Range: bytes=0-9",
        "User-Agent: Coldswap/1",
    ]


def test_tls_asks_for_the_name_without_its_last_dot_which_the_host_header_keeps() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(HI)

    with tls_server(serve) as (port, names):
        assert get_by_tls(port, "pictures.test.") == b"hi"
    assert names == ["pictures.test"]
    assert f"\r\nHost: pictures.test.:{port}\r\n".encode() in requests[0]


@pytest.mark.parametrize("path", ["/a%7eb/%e4/?s=%2f%2B", "//a", "/a/../b", "/a//b", "/%", "/a:b", "/?a=[b]&c=|"])
def test_a_path_is_sent_as_it_was_signed(path: str) -> None:
    with recording(HI) as (port, requests):
        get(port, path=path)
    assert requests[0].startswith(f"GET {path} HTTP/1.1\r\n".encode())


def test_neither_the_query_nor_what_the_server_says_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    odd = OK + b"no header at all hunter3\r\nSet-Cookie: hunter4=1; expires=never\r\nContent-Length: 2\r\n\r\nhi"
    for answer in (odd, b"hunter3\r\n\r\n", OK + b"Content-Length: hunter3\r\n\r\n", b""):
        with recording(answer) as (port, _), suppress(UpstreamFailed):
            get(port, path="/secret-path?token=hunter2")
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
    assert "hunter" not in caplog.text
    assert "secret-path" not in caplog.text


def test_headers_are_bounded_together_and_not_only_one_by_one() -> None:
    def answer(count: int) -> bytes:
        return OK + b"A: " + b"x" * 1000 + (b"\r\nA: " + b"x" * 1000) * (count - 1) + b"\r\nContent-Length: 2\r\n\r\nhi"

    with server(respond(answer(60))) as port:
        assert get(port) == b"hi"
    with server(respond(answer(70))) as port, pytest.raises(UpstreamFailed):
        get(port)


def test_the_body_of_a_redirect_is_not_read() -> None:
    gone = threading.Event()

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Encoding: gzip\r\n\r\n")
        try:
            for piece in repeat(b"x" * 65536):
                connection.sendall(piece)
        except OSError:
            gone.set()

    with server(serve) as port:
        deadline = Deadline.after(20)
        with pytest.raises(RefusedUrl):
            get(port, seconds=20)
        assert gone.wait(10)
    assert deadline.left() > 5


def test_cookies_are_not_even_read() -> None:
    with recording(OK + b"Set-Cookie: a=b\r\nset-cookie: c=d\r\nX: y\r\n\r\n") as (port, _), ask(port, {}) as response:
        assert (response.header("Set-Cookie"), response.header("x")) == (None, "y")


def test_nothing_is_retried() -> None:
    for answer in (b"", b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n"):
        with recording(answer) as (port, requests):
            with pytest.raises(UpstreamFailed):
                get(port)
            assert len(requests) == 1


def test_a_header_that_cannot_be_sent_leaves_the_request_unsent() -> None:
    with (
        recording(HI) as (port, requests),
        pytest.raises(UpstreamFailed) as raised,
        ask(port, {"X-Key": "a\r\nX-Other: b"}),
    ):
        pass
    assert (raised.value.sent, requests) == (False, [])


def dripping(beginning: bytes) -> Serve:
    """Sends a beginning, and then single bytes until the client goes."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        connection.settimeout(0.02)
        while True:
            connection.sendall(b"x")
            try:
                if not connection.recv(1):
                    return
            except TimeoutError:
                continue

    return serve


@pytest.mark.parametrize(
    "beginning",
    [b"", OK + b"X: ", OK + b"\r\n", OK + b"Content-Length: 90000\r\n\r\n"],
    ids=["before the answer", "in a header", "in a body without a length", "in a body"],
)
def test_a_drip_inside_tls_does_not_outlast_the_deadline(beginning: bytes) -> None:
    with tls_server(dripping(beginning)) as (port, _):
        deadline = Deadline.after(0.25)
        with pytest.raises(UpstreamFailed, match="in time"):
            get_by_tls(port, seconds=0.25)
        assert deadline.left() > -3


def test_a_handshake_that_drips_does_not_outlast_the_deadline() -> None:
    """A record of TLS is announced, and its bytes come one by one."""

    with server(dripping(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc")) as port:
        deadline = Deadline.after(0.25)
        with pytest.raises(UpstreamFailed, match="in time") as raised:
            get_by_tls(port, seconds=0.25)
    assert raised.value.sent is False
    assert deadline.left() > -3


def test_nothing_is_left_of_an_exchange() -> None:
    """No timer that waits for the deadline, and no handle on the connection."""
    get_by_tls_once()  # what is loaded at the first time stays
    threads, handles = set(threading.enumerate()), os.listdir("/proc/self/fd")
    get_by_tls_once()
    for thread in set(threading.enumerate()) - threads:
        thread.join(10)
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) == len(handles)


def get_by_tls_once() -> None:
    with tls_server(respond(HI)) as (port, _):
        assert get_by_tls(port, seconds=60) == b"hi"
