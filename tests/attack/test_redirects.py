"""Redirects that lead elsewhere than a URL may lead, that never end, or that take for ever."""

from __future__ import annotations

import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import trustme

from layers.core import http_transport
from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, RefusedUrl, UpstreamFailed
from layers.core.http_fetch import fetch
from tests.attack.dns import NameServer, name_server
from tests.attack.urls import BAD, GOOD, hostile
from tests.support.connections import Address, catch_connections
from tests.unit.core.test_http_fetch import Serve, server

PICTURE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
FIRST, SECOND = "93.184.215.14", "93.184.215.15"  # public addresses, to which nothing is ever sent from here
MOST = 3


def redirect(location: bytes, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Elsewhere\r\nContent-Length: 0\r\nLocation: ".encode() + location + b"\r\n\r\n"


@dataclass
class Site:
    """A server that answers by path, on the loopback, trusted as `http://pictures.test:PORT`."""

    pages: Mapping[str, bytes]
    other: bytes = PICTURE  # the answer to all other paths
    requests: list[bytes] = field(default_factory=list)
    port: int = 0

    @property
    def paths(self) -> list[str]:
        """The paths that were asked for."""
        return [request.split(b" ")[1].decode() for request in self.requests]

    def serve(self, connection: socket.socket) -> None:
        """Answer one request."""
        self.requests.append(connection.recv(65536))
        connection.sendall(self.pages.get(self.paths[-1], self.other))

    def get(self, path: str = "/", seconds: float = 5.0, max_redirects: int = MOST) -> bytes:
        """Fetch a path. Of all other names, `pictures.example` alone leads outside."""
        origin = f"http://pictures.test:{self.port}"
        return fetch(
            origin + path,
            limit=1000,
            deadline=Deadline.after(seconds),
            trusted_origins=frozenset({origin}),
            max_redirects=max_redirects,
            resolve=self._resolve,
        )

    @staticmethod
    def _resolve(host: str, port: int) -> list[str]:
        try:
            return [str(ipaddress.ip_address(host))]  # as getaddrinfo does with a literal
        except ValueError:
            return [FIRST if host == GOOD else BAD]


@contextmanager
def site(pages: Mapping[str, bytes], serve: Callable[[Site], Serve] = lambda site: site.serve) -> Iterator[Site]:
    """A site that is up, whose server is reached; all other connections are refused, and none is unseen."""
    running = Site(pages)
    with server(serve(running)) as running.port:
        own = (BAD, running.port)

        def lead(address: Address) -> Address:
            if address != own:
                raise ConnectionRefusedError
            return address

        with catch_connections(lead) as tried:
            yield running
        assert set(tried) <= {own, (FIRST, 443)}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed_to_the_picture(status: int) -> None:
    with site({"/": redirect(b"/b?c=d#part", status)}) as running:
        assert running.get() == b"hi"
    assert running.paths == ["/", "/b?c=d"]


@pytest.mark.parametrize("status", [300, 304, 305, 306])
def test_what_is_no_redirect_is_not_followed(status: int) -> None:
    with site({"/": redirect(b"/b", status)}) as running, pytest.raises(RefusedUrl):
        running.get()
    assert running.paths == ["/"]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed_unless_that_is_asked_for(status: int) -> None:
    with site({"/": redirect(b"/b", status)}) as running, pytest.raises(RefusedUrl):
        running.get(max_redirects=0)
    assert running.paths == ["/"]


# Where a redirect leads, and how the refusal says so. None is followed.
REFUSED = {
    b"http://127.0.0.1:9001/2018-06-01/runtime/invocation/next": "Only https URLs on port 443",
    b"https://127.0.0.1/": "127.0.0.1 is not on the public internet",
    b"https://127.0.0.1:9001/": "Only https URLs on port 443",
    b"//169.254.169.254/": "Only https URLs on port 443",
    b"https://169.254.169.254/latest/meta-data/": "not on the public internet",
    b"https://[::1]/": "not on the public internet",
    b"https://[::ffff:127.0.0.1]/": "not on the public internet",
    b"https://0x7f.1/": "not a valid host name",
    b"https://2130706433/": "not a valid host name",
    b"https://pictures.test/": "pictures.test is not on the public internet",
    b"http://pictures.test/": "Only https URLs on port 443",
    b"http://pictures.example/": "Only https URLs on port 443",
    b"https://pictures.example:8443/": "Only https URLs on port 443",
    b"ftp://pictures.example/a.png": "Only https URLs on port 443",
    b"file:///etc/passwd": "Only https URLs on port 443",
    b"data:image/png;base64,aGk=": "Only https URLs on port 443",
    b"s3://uploads/a.png": "Only https URLs on port 443",
    b"gopher://127.0.0.1:6379/_INFO": "Only https URLs on port 443",
    b"javascript:alert(1)": "Only https URLs on port 443",
    b"https://me:hunter2@pictures.example/": "must not contain a user name",
    b"https://me@pictures.example/": "must not contain a user name",
    b"https://pictures.example\\@127.0.0.1/": "backslashes",
    b"\\\\127.0.0.1\\share": "backslashes",
    b"/a\tb": "control characters",
    b"https://pictures.example\0.127.0.0.1/": "control characters",
    b"https://127%2e0.0.1/": "not a valid host name",
    b"https://[::1": "not a valid URL",
    b"x" * 4097: "at most 4096 characters",
    b"": "without saying where to",
    b"  ": "without saying where to",
    b"/b\r\nLocation: /c": "without saying where to",
    b"/b\r\nLocation: https://127.0.0.1/": "without saying where to",
}


@pytest.mark.parametrize("location", REFUSED, ids=lambda location: ascii(location)[2:50])
def test_a_redirect_is_checked_like_a_new_url(location: bytes) -> None:
    with site({"/?token=hunter2": redirect(location)}) as running, pytest.raises(RefusedUrl) as raised:
        running.get("/?token=hunter2")
    assert running.paths == ["/?token=hunter2"]
    assert raised.value.detail.startswith("pictures.test redirects ")
    assert REFUSED[location] in raised.value.detail
    assert "hunter2" not in raised.value.detail


def test_a_location_that_is_missing_is_an_error() -> None:
    with site({"/": b"HTTP/1.1 302 Elsewhere\r\nRefresh: 0; url=/b\r\nContent-Length: 0\r\n\r\n"}) as running:
        with pytest.raises(RefusedUrl, match="without saying where to"):
            running.get()
        assert running.paths == ["/"]


def test_no_hostile_url_leads_anywhere_as_a_location() -> None:
    """Relative ones lead back to the site that named them, as they do in browsers."""
    locations = [url.encode() for url in hostile() if not {"\r", "\n"} & set(url)]
    assert len(locations) > 800
    with site({}) as running:
        for location in locations:
            running.other = redirect(location)
            with pytest.raises((RefusedUrl, UpstreamFailed)) as raised:
                running.get()
            assert raised.value.detail.isprintable(), location


# Followed, and to which path of the same site (RFC 3986, section 5); bytes beyond ASCII as browsers send them.
FOLLOWED = {
    b"b": "/a/b",
    b"../b": "/b",
    b"/b#here": "/b",
    b"?b": "/a/x?b",
    b" /b ": "/b",
    "/café/ü".encode(): "/caf%C3%A9/%C3%BC",
    "/café".encode("latin-1"): "/caf%E9",
    b"/a b": "/a%20b",
    b"/a%20b%2fc": "/a%20b%2fc",
    b"/b\r\nLocation: /b": "/b",
    b"\xff\xfe": "/a/%FF%FE",
}


@pytest.mark.parametrize(("location", "path"), FOLLOWED.items())
def test_a_relative_redirect_stays_on_its_site(location: bytes, path: str) -> None:
    with site({"/a/x": redirect(location)}) as running:
        assert running.get("/a/x") == b"hi"
    assert running.paths == ["/a/x", path]


def chain(length: int) -> dict[str, bytes]:
    return {f"/{number}": redirect(f"/{number + 1}".encode()) for number in range(length)}


def test_three_redirects_are_followed_and_no_fourth() -> None:
    with site(chain(3)) as running:
        assert running.get("/0") == b"hi"
    assert running.paths == ["/0", "/1", "/2", "/3"]
    for fourth in (b"/4", b"https://inner.test/"):
        with site(chain(3) | {"/3": redirect(fourth)}) as running, pytest.raises(RefusedUrl, match="after 3 redirects"):
            running.get("/0")
        assert running.paths == ["/0", "/1", "/2", "/3"]


@pytest.mark.parametrize(
    "pages",
    [
        {"/": redirect(b"/")},
        {"/": redirect(b"")},
        {"/": redirect(b"#")},
        {"/": redirect(b"/b"), "/b": redirect(b"/")},
        chain(1000) | {"/": redirect(b"/0")},
    ],
    ids=["to itself", "nowhere", "to a part of itself", "to and fro", "endless"],
)
def test_a_loop_ends(pages: Mapping[str, bytes]) -> None:
    with site(pages) as running, pytest.raises(RefusedUrl):
        running.get()
    assert len(running.requests) <= 1 + MOST


def test_all_hops_share_one_deadline() -> None:
    """Each is quick enough by itself."""

    def slowly(running: Site) -> Serve:
        def serve(connection: socket.socket) -> None:
            running.requests.append(connection.recv(65536))
            connection.settimeout(0.15)
            try:
                connection.recv(1)  # the client waits
            except TimeoutError:
                connection.sendall(running.pages[running.paths[-1]])

        return serve

    deadline = Deadline.after(0.4)
    with site(chain(4), slowly) as running, pytest.raises(UpstreamFailed, match="in time"):
        running.get("/0", seconds=0.4)
    assert deadline.left() > -2
    assert len(running.requests) < 4


def test_no_cookie_no_referrer_and_no_credentials_go_along() -> None:
    answer = redirect(b"/b").replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b; Path=/\r\nWWW-Authenticate: Basic\r\n\r\n")
    with site({"/": answer}) as running:
        assert running.get() == b"hi"
    first, second = running.requests
    assert second == first.replace(b"GET / ", b"GET /b ")


def test_the_last_site_answers_for_itself() -> None:
    with (
        site({"/": redirect(b"/b"), "/b": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"}) as running,
        pytest.raises(InputNotFound, match=r"pictures\.test does not serve"),
    ):
        running.get()


@pytest.fixture
def public_site(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, list[Address]]]:
    """A TLS server that stands for both public addresses, with a certificate for a.test and b.test alone."""
    authority, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    authority.issue_cert("a.test", "b.test").configure_cert(theirs)
    monkeypatch.setattr(http_transport, "tls_context", lambda: ours)
    pages = {
        "/": redirect(b"https://b.test/picture"),
        "/again": redirect(b"/picture"),
        "/other": redirect(b"https://c.test/picture"),
    }
    running = Site(pages)
    with server(running.serve, theirs) as port, catch_connections(lambda _: (BAD, port)) as tried:
        yield running, tried


def always(*addresses: str) -> Callable[[int], list[str]]:
    return lambda _: list(addresses)


def then_inner(address: str) -> Callable[[int], list[str]]:
    """The address at the first question, and this machine's own at all others."""
    return lambda number: [BAD] if number else [address]


def follow(url: str, names: NameServer) -> bytes:
    return fetch(url, limit=1000, deadline=Deadline.after(5), max_redirects=MOST, resolve=names.resolve)


def test_each_hop_is_resolved_once_and_connected_to_at_its_own_address(
    public_site: tuple[Site, list[Address]],
) -> None:
    running, tried = public_site
    with name_server({"a.test": then_inner(FIRST), "b.test": then_inner(SECOND)}) as names:
        assert follow("https://a.test/", names) == b"hi"
        assert names.counts == {"a.test": 1, "b.test": 1}
    assert tried == [(FIRST, 443), (SECOND, 443)]
    assert [b"Host: a.test\r\n" in running.requests[0], b"Host: b.test\r\n" in running.requests[1]] == [True, True]


def test_a_site_that_moves_inside_between_two_hops_is_refused(public_site: tuple[Site, list[Address]]) -> None:
    _, tried = public_site
    with (
        name_server({"a.test": then_inner(FIRST)}) as names,
        pytest.raises(RefusedUrl, match=r"a\.test is not on the public internet"),
    ):
        follow("https://a.test/again", names)
    assert tried == [(FIRST, 443)]


@pytest.mark.parametrize("address", [BAD, "10.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"])
def test_a_redirect_to_a_name_with_one_inner_address_is_refused(
    address: str, public_site: tuple[Site, list[Address]]
) -> None:
    _, tried = public_site
    with (
        name_server({"a.test": always(FIRST), "b.test": always(SECOND, address)}) as names,
        pytest.raises(RefusedUrl, match=r"b\.test is not on the public internet"),
    ):
        follow("https://a.test/", names)
    assert tried == [(FIRST, 443)]


@pytest.mark.parametrize(
    ("zone", "message"),
    [
        ({"c.test": SECOND}, r"c\.test has no valid certificate"),
        ({}, r"c\.test does not resolve"),
    ],
)
def test_a_hop_that_fails_is_named(
    zone: Mapping[str, str], message: str, public_site: tuple[Site, list[Address]]
) -> None:
    zones = {name: always(address) for name, address in {"a.test": FIRST, **zone}.items()}
    with name_server(zones) as names, pytest.raises(UpstreamFailed, match=message):
        follow("https://a.test/other", names)
