"""The fetcher against local servers and a list of hostile URLs. Nothing here leaves the loopback interface."""

from __future__ import annotations

import io
import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from layers.core import http_transport
from layers.core.address_check import is_public
from layers.core.deadline import Deadline, ExtensibleDeadline
from layers.core.errors import ColdswapError, InputNotFound, RefusedUrl, TooLarge, UpstreamFailed
from layers.core.http_fetch import check_url, fetch, fetch_into, open_url
from tests.support.connections import catch_connections

Serve = Callable[[socket.socket], None]
LIMIT = 100_000


def never(host: str, port: int) -> list[str]:
    raise AssertionError(f"{host} was looked up")


def resolve_to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


@contextmanager
def server(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[int]:
    """A port on which each connection is given to `serve`, and then closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    ended = threading.Event()

    def run() -> None:
        while not ended.is_set():
            try:
                raw, _ = listener.accept()
                raw.settimeout(20)
                with tls.wrap_socket(raw, server_side=True) if tls else raw as connection:
                    serve(connection)
            except OSError:
                continue

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        ended.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)


def respond(payload: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(payload)

    return serve


def get(port: int, seconds: float = 5.0, path: str = "/a.png") -> bytes:
    origin = f"http://pictures.test:{port}"
    return fetch(
        origin + path,
        limit=LIMIT,
        deadline=Deadline.after(seconds),
        trusted_origins=frozenset({origin}),
        resolve=resolve_to_loopback,
    )


HOSTILE = [
    # schemes and ports
    "http://example.com/a.png",
    "ftp://example.com/a.png",
    "file:///etc/passwd",
    "gopher://example.com/",
    "dict://127.0.0.1:11211/stat",
    "jar:https://example.com/a.jar!/a.png",
    "//example.com/a.png",
    "example.com/a.png",
    "",
    "https://",
    "https:///a.png",
    "https://example.com:80/",
    "https://example.com:8443/",
    "https://example.com:0/",
    "https://example.com:99999/",
    "https://example.com:x/",
    # who is asked is not who it looks like
    "https://user@example.com/",
    "https://user:word@example.com/",
    "https://example.com@127.0.0.1/",
    "https://127.0.0.1#@example.com/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com\\.127.0.0.1/",
    "https://exa mple.com/",
    "https://example.com/\r\nHost: 127.0.0.1",
    "https://example.com/\n",
    "https://exa\tmple.com/",
    "https://example.com\0.png/",
    "https://[::1",
    "https://[example.com]/",
    "https://exam%70le.com/",
    "https://127.0.0.1%2f@example.com/",
    "https://-example.com/",
    "https://example..com/",
    "https://.example.com/",
    "https://" + "a" * 64 + ".com/",
    "https://" + "a." * 130 + "com/",
    "https://example.com/" + "a" * 5000,
    # loopback, spelled
    "https://127.0.0.1/",
    "https://127.0.0.1:443/",
    "https://127.0.0.1./",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f.1/",
    "https://0x7f000001/",
    "https://0177.0.0.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://127.0.0.0x1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://127.255.255.254/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://127\u30020.0.1/",
    "https://\u2460\u2461\u2466.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    # other networks that are not public
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.170.2/v2/credentials",
    "https://172.16.0.1/",
    "https://192.0.0.8/",
    "https://192.0.0.9/",
    "https://192.0.2.1/",
    "https://192.88.99.1/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://239.255.255.250/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_a_hostile_url_is_refused_before_any_connection(url: str) -> None:
    def literal_only(host: str, port: int) -> list[str]:
        return [str(ipaddress.ip_address(host))]

    with catch_connections() as tried, pytest.raises(RefusedUrl):
        fetch(url, limit=LIMIT, deadline=Deadline.after(1), resolve=literal_only)
    assert tried == []


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.215.14", "127.0.0.1"],
        ["127.0.0.1", "93.184.215.14"],
        ["10.0.0.7"],
        ["::1"],
        ["2606:2800:21f:cb07:6820:80da:af6b:8b2c", "fe80::1%eth0"],
        ["::ffff:10.0.0.1"],
        ["64:ff9b::a9fe:a9fe"],
        ["169.254.169.254"],
    ],
)
def test_a_name_that_leads_inside_is_refused_whatever_else_it_leads_to(addresses: list[str]) -> None:
    with catch_connections() as tried, pytest.raises(RefusedUrl, match="not on the public internet"):
        fetch("https://rebind.test/", limit=LIMIT, deadline=Deadline.after(1), resolve=lambda *_: addresses)
    assert tried == []


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_a_name_is_resolved_once_and_that_address_is_connected_to(address: str) -> None:
    resolutions = iter([[address], ["127.0.0.1"]])
    with catch_connections() as tried, pytest.raises(UpstreamFailed):
        fetch("https://rebind.test/", limit=LIMIT, deadline=Deadline.after(1), resolve=lambda *_: next(resolutions))
    assert tried == [(address, 443)]
    assert next(resolutions) == ["127.0.0.1"]


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.215.14", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001::200e"])
def test_servers_of_the_public_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_ipv4_address_gets_in_inside_an_ipv6_one(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for wrapped in (0xFFFF << 32 | number, number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        assert not is_public(ipaddress.IPv6Address(wrapped))


@given(st.ip_addresses())
def test_what_is_public_here_is_public_to_python_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not any((address.is_private, address.is_multicast, address.is_loopback, address.is_link_local))


@given(st.text(max_size=60))
def test_no_text_gets_past_but_as_an_error_of_the_family(url: str) -> None:
    with pytest.raises(ColdswapError):
        fetch(url, limit=LIMIT, deadline=Deadline.after(1), resolve=lambda *_: ["127.0.0.1"])


def test_a_trusted_origin_is_exactly_scheme_host_and_port() -> None:
    with server(respond(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: image/png\r\n\r\nhi")) as port:
        assert get(port) == b"hi"
        for origin in (f"https://pictures.test:{port}", f"http://pictures.test:{port + 1}", "http://pictures.test"):
            with pytest.raises(RefusedUrl):
                fetch(
                    f"http://pictures.test:{port}/",
                    limit=LIMIT,
                    deadline=Deadline.after(1),
                    trusted_origins=frozenset({origin}),
                    resolve=never,
                )


def test_the_request_names_the_host_and_asks_for_no_compression() -> None:
    requests: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    with server(serve) as port:
        get(port, path="/a.png?x=1#here")
    head = requests[0].decode()
    assert head.startswith("GET /a.png?x=1 HTTP/1.1\r\n")
    assert f"\r\nHost: pictures.test:{port}\r\n" in head
    assert "\r\nAccept-Encoding: identity\r\n" in head
    assert head.lower().count("\r\nhost:") == head.lower().count("\r\naccept-encoding:") == 1


def test_tls_is_checked_against_the_name_and_not_the_address() -> None:
    authority = trustme.CA()
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    serve = respond(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
    for name, right in (("pictures.test", True), ("other.test", False)):
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(name).configure_cert(theirs)
        with server(serve, theirs) as port, pytest.MonkeyPatch.context() as patch:
            patch.setattr(http_transport, "tls_context", lambda: ours)
            origin = f"https://pictures.test:{port}"

            def ask(origin: str = origin) -> bytes:
                return fetch(
                    f"{origin}/",
                    limit=LIMIT,
                    deadline=Deadline.after(5),
                    trusted_origins=frozenset({origin}),
                    resolve=resolve_to_loopback,
                )

            if right:
                assert ask() == b"hi"
            else:
                with pytest.raises(UpstreamFailed, match="no valid certificate"):
                    ask()


def test_a_certificate_that_nobody_signed_is_refused() -> None:
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("pictures.test").configure_cert(theirs)
    with server(respond(b""), theirs) as port:
        origin = f"https://pictures.test:{port}"
        deadline = Deadline.after(5)
        with pytest.raises(UpstreamFailed, match="no valid certificate"):
            fetch(
                origin, limit=LIMIT, deadline=deadline, trusted_origins=frozenset({origin}), resolve=resolve_to_loopback
            )


ANSWERS: list[tuple[bytes, type[Exception]]] = [
    (b"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:9001/\r\nContent-Length: 0\r\n\r\n", RefusedUrl),
    (b"HTTP/1.1 307 Moved\r\nLocation: https://example.com/\r\nContent-Length: 0\r\n\r\n", RefusedUrl),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", InputNotFound),
    (b"HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n", InputNotFound),
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", InputNotFound),
    (b"HTTP/1.1 429 Too Many\r\nContent-Length: 0\r\n\r\n", UpstreamFailed),
    (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", UpstreamFailed),
    (b"HTTP/1.1 204 Nothing\r\n\r\n", UpstreamFailed),
    (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", UpstreamFailed),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", TooLarge),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", TooLarge),
    (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 100_001, TooLarge),
    (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"ffff\r\n" + b"x" * 65535 + b"\r\n" * 2,
        UpstreamFailed,
    ),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort", UpstreamFailed),
    (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", UpstreamFailed),
    (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000 + b"\r\n\r\n", UpstreamFailed),
    (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n", UpstreamFailed),
    (b"SSH-2.0-OpenSSH_9.2\r\n", UpstreamFailed),
    (b"", UpstreamFailed),
]


@pytest.mark.parametrize(("payload", "kind"), ANSWERS)
def test_every_bad_answer_has_its_error(payload: bytes, kind: type[Exception]) -> None:
    with server(respond(payload)) as port, pytest.raises(kind) as raised:
        get(port, path="/a.png?secret=hunter2")
    assert "hunter2" not in str(raised.value)


def test_a_refused_connection_is_an_upstream_failure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(UpstreamFailed):
        get(port)


def failure(url: str, **more: Any) -> UpstreamFailed:
    """What becomes of a request to a server that fails."""
    origin = url.rstrip("/")
    with (
        pytest.raises(UpstreamFailed) as raised,
        open_url(
            url,
            deadline=Deadline.after(0.3),
            trusted_origins=frozenset({origin}),
            **{"resolve": resolve_to_loopback, **more},
        ),
    ):
        pass
    return raised.value


def test_a_request_that_cannot_have_been_sent_is_told_from_one_without_an_answer() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError

    with socket.create_server(("127.0.0.1", 0)) as listener:
        closed = listener.getsockname()[1]
    assert failure("https://nowhere.test", resolve=nowhere).sent is False
    assert failure(f"http://pictures.test:{closed}").sent is False
    untrusted = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("pictures.test").configure_cert(untrusted)
    with server(respond(b""), untrusted) as port:
        assert failure(f"https://pictures.test:{port}").sent is False
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and never says a word of TLS
        assert failure(f"https://pictures.test:{silent.getsockname()[1]}").sent is False
        assert failure(f"http://pictures.test:{silent.getsockname()[1]}").sent is True
    with server(respond(b"")) as port:
        assert failure(f"http://pictures.test:{port}").sent is True


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nX: ",
        b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
    ids=["before the answer", "in the headers", "in the body", "promises"],
)
def test_a_server_that_drips_does_not_outlast_the_deadline(beginning: bytes) -> None:
    cut = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(beginning)
        connection.settimeout(0.02)
        while True:
            connection.sendall(beginning if beginning.endswith(b"\r\n\r\n") and b"100" in beginning else b"x")
            try:
                if not connection.recv(1):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        cut.set()

    with server(drip) as port:
        deadline = Deadline.after(0.4)
        with pytest.raises(UpstreamFailed, match="in time"):
            get(port, seconds=0.4)
        assert deadline.left() > -3
        assert cut.wait(5)


def test_a_deadline_that_is_put_off_cuts_nothing_off() -> None:
    """What has begun to arrive turns out to be larger, as a video does."""
    deadline = ExtensibleDeadline(Deadline.after(0.4).at)

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        for piece in (b"c", b"d"):
            threading.Event().wait(0.3)
            connection.sendall(piece)

    class Sink(io.BytesIO):
        def write(self, piece: Any, /) -> int:
            deadline.extend(Deadline.after(20))
            return super().write(piece)

    sink = Sink()
    with server(serve) as port, pytest.MonkeyPatch.context() as patch:
        patch.setattr("layers.core.http_fetch.PIECE_BYTES", 2)
        origin = f"http://127.0.0.1:{port}"
        fetch_into(sink, f"{origin}/", limit=LIMIT, deadline=deadline, trusted_origins=frozenset({origin}))

    assert sink.getvalue() == b"abcd"


def test_a_resolver_that_hangs_does_not_outlast_the_deadline() -> None:
    released = threading.Event()

    def hang(host: str, port: int) -> list[str]:
        released.wait(20)
        return ["127.0.0.1"]

    deadline = Deadline.after(0.2)
    with pytest.raises(UpstreamFailed, match="does not resolve"):
        fetch("https://slow.test/", limit=LIMIT, deadline=deadline, resolve=hang)
    assert deadline.left() > -3
    released.set()


def test_the_second_address_is_tried_when_the_first_takes_no_connection() -> None:
    with server(respond(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as port:
        origin = f"http://pictures.test:{port}"
        # Only 127.0.0.1 listens; the rest of the loopback network refuses.
        addresses = ["127.0.0.2", "127.0.0.1"]
        data = fetch(
            origin,
            limit=LIMIT,
            deadline=Deadline.after(5),
            trusted_origins=frozenset({origin}),
            resolve=lambda *_: addresses,
        )
    assert data == b"hi"


def trusting(port: int) -> dict[str, Any]:
    return {
        "deadline": Deadline.after(5),
        "trusted_origins": frozenset({f"http://files.test:{port}"}),
        "resolve": resolve_to_loopback,
    }


def test_an_answer_is_read_piece_by_piece_and_a_redirect_is_not_followed() -> None:
    with (
        server(respond(b"HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 5\r\n\r\nhello")) as port,
        open_url(f"http://files.test:{port}/a", **trusting(port)) as response,
    ):
        assert (response.status, response.header("location"), response.content_length) == (302, "/b", 5)
        assert [response.read(3), response.read(3), response.read(3)] == [b"hel", b"lo", b""]


def test_a_body_that_ends_early_is_an_error_at_its_end_and_not_before() -> None:
    with (
        server(respond(b"HTTP/1.1 206 Partial Content\r\nContent-Length: 9\r\n\r\nhello")) as port,
        open_url(f"http://files.test:{port}/a", **trusting(port)) as response,
    ):
        assert response.read(100) == b"hello"
        with pytest.raises(UpstreamFailed):
            response.read(100)


def test_an_error_of_who_reads_is_not_the_servers() -> None:
    with (
        server(respond(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")) as port,
        pytest.raises(BlockingIOError),
        open_url(f"http://files.test:{port}/a", **trusting(port)),
    ):
        raise BlockingIOError


def test_a_body_can_be_posted() -> None:
    requests = []

    def serve(connection: socket.socket) -> None:
        request = connection.recv(65536)
        while not request.endswith(b"{}"):
            request += connection.recv(65536)
        requests.append(request)
        connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with server(serve) as port:
        url, headers = f"http://files.test:{port}/hook?x=1", {"Content-Type": "application/json"}
        with open_url(url, method="POST", body=b"{}", headers=headers, **trusting(port)) as response:
            assert response.status == 204
    (request,) = requests
    assert request.startswith(b"POST /hook?x=1 HTTP/1.1\r\n")
    assert b"Content-Type: application/json\r\n" in request
    assert b"Content-Length: 2\r\n" in request


@pytest.mark.parametrize("url", ["http://a.test/", "https://127.0.0.1/", "https://[::1]/", "https://169.254.169.254/"])
def test_a_url_can_be_refused_without_asking_for_its_name(url: str) -> None:
    with pytest.raises(RefusedUrl):
        check_url(url)


def test_a_url_that_may_be_fetched_is_not_refused() -> None:
    check_url("https://example.com/hook")
    check_url("http://127.0.0.1:8000/hook", frozenset({"http://127.0.0.1:8000"}))
