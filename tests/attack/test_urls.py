"""URLs that lead elsewhere than they seem: to this machine, to the cloud's own services, to a neighbour."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import trustme

from layers.core import http_transport
from layers.core.address_check import is_public
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, RefusedUrl, UpstreamFailed
from layers.core.http_fetch import check_url, fetch
from tests.attack.dns import NameServer, name_server
from tests.attack.urls import BAD, GOOD, hostile
from tests.support.connections import Address, catch_connections
from tests.unit.core.test_http_fetch import respond, server
from tests.unit.swap.entry_clients import CALLERS
from tests.unit.swap.fake_stack import UPLOADS, FakeContext, FakeSwapStack

URLS = hostile()
OUTSIDE = "93.184.215.14"  # a public address, to which nothing is ever sent from here
PICTURE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: image/png\r\n\r\nhi"
# What resolvers make of names that need no trick: they are somebody's own.
INNER_NAMES: dict[str, Callable[[int], list[str]]] = {
    "localhost": lambda _: [BAD, "::1"],
    "LOCALHOST": lambda _: [BAD],
    "localhost.localdomain": lambda _: [BAD],
    "anything.localhost": lambda _: [BAD],
    "ip6-localhost": lambda _: ["::1"],
    "metadata": lambda _: ["169.254.169.254"],
    "metadata.google.internal": lambda _: ["169.254.169.254"],
    "instance-data": lambda _: ["169.254.169.254"],
    "kubernetes.default.svc": lambda _: ["10.96.0.1"],
    "host.docker.internal": lambda _: ["172.17.0.1"],
    "sandbox.localdomain": lambda _: ["169.254.79.129"],
    f"{BAD}.nip.io": lambda _: [BAD],
    f"a.{BAD}.sslip.io": lambda _: [BAD],
}


@pytest.fixture
def nowhere() -> Iterator[list[Address]]:
    """Where connections were tried to; none comes about."""
    with catch_connections() as tried:
        yield tried


def test_a_connection_that_is_allowed_is_seen(nowhere: list[Address]) -> None:
    """Otherwise that nothing was seen would prove nothing."""
    with pytest.raises(UpstreamFailed):
        fetch(f"https://{GOOD}/", limit=1000, deadline=Deadline.after(5), resolve=lambda *_: [OUTSIDE])
    assert nowhere == [(OUTSIDE, 443)]


def test_the_list_is_long_and_has_no_doubles() -> None:
    assert len(URLS) >= 833
    assert len(set(URLS)) == len(URLS)


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with name_server({**INNER_NAMES, GOOD: lambda _: [OUTSIDE]}) as server:
        yield server


@pytest.mark.parametrize("url", URLS, ids=lambda url: ascii(url)[1:60])
def test_no_hostile_url_leads_to_an_inner_address(url: str, nowhere: list[Address], names: NameServer) -> None:
    """Those that a parser may read as the good name's are asked of that name alone."""
    names.counts.clear()

    def resolve(host: str, port: int) -> list[str]:
        try:  # as getaddrinfo does with a literal
            return [str(ipaddress.ip_address(host))]
        except ValueError:
            return names.resolve(host, port)

    with pytest.raises((RefusedUrl, UpstreamFailed)) as raised:
        fetch(url, limit=1000, deadline=Deadline.after(5), resolve=resolve)

    assert set(nowhere) <= {(OUTSIDE, 443)}
    assert not nowhere or GOOD in names.counts
    assert "\n" not in raised.value.detail


@pytest.mark.parametrize("caller", CALLERS)
@pytest.mark.parametrize("url", ["https://0x7f.1/", "https://[::ffff:127.0.0.1]/", f"https://{GOOD}@{BAD}/"])
def test_no_caller_gets_past_the_fetcher(
    caller: str, url: str, nowhere: list[Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    request = {"meme": f"s3://{UPLOADS}/requests/1/meme", "face": url}

    assert CALLERS[caller](FakeSwapStack(), request, monkeypatch, FakeContext()).code == RefusedUrl.code
    assert nowhere == []


@pytest.mark.parametrize("url", [url for url in URLS if "{" not in url][:400:5])
def test_what_is_submitted_is_checked_before_it_is_kept(url: str) -> None:
    """A callback's URL is looked at when the task is asked for, and again when it is called."""
    try:
        check_url(url)
    except RefusedUrl:
        return
    with pytest.raises(ColdswapError):
        fetch(url, limit=1000, deadline=Deadline.after(1), resolve=lambda *_: [BAD])


@pytest.fixture
def led_here(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A TLS server on the loopback that stands for the public address; gives its port, and where was connected to."""
    authority, theirs = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    authority.issue_cert("rebind.test").configure_cert(theirs)
    monkeypatch.setattr(http_transport, "tls_context", lambda: ours)
    with server(respond(PICTURE), theirs) as port, catch_connections(lambda _: ("127.0.0.1", port)) as tried:
        yield tried


def get(names: NameServer) -> bytes:
    return fetch("https://rebind.test/a.png", limit=1000, deadline=Deadline.after(5), resolve=names.resolve)


def test_a_name_that_changes_its_answer_is_asked_once_a_fetch(led_here: list[Any]) -> None:
    """The second answer would be the loopback: it is not asked for, and the first one is connected to."""
    with name_server({"rebind.test": lambda number: [OUTSIDE] if number == 0 else [BAD]}) as names:
        assert get(names) == b"hi"
        assert names.counts == {"rebind.test": 1}
        assert led_here == [(OUTSIDE, 443)]

        with pytest.raises(RefusedUrl):
            get(names)
        assert names.counts == {"rebind.test": 2}
        assert led_here == [(OUTSIDE, 443)]


@pytest.mark.parametrize(
    "addresses",
    [
        [OUTSIDE, BAD],
        [BAD, OUTSIDE],
        [OUTSIDE, "::1"],
        [OUTSIDE, "::ffff:127.0.0.1"],
        [OUTSIDE, "64:ff9b::7f00:1"],
        [OUTSIDE, "2002:7f00:1::"],
        [OUTSIDE, "fe80::1"],
        [OUTSIDE, "fd00:ec2::254"],
        [OUTSIDE, "169.254.169.254"],
        [*[OUTSIDE] * 20, "10.0.0.1"],
    ],
    ids=lambda addresses: addresses[-1],
)
def test_one_inner_address_among_public_ones_spoils_the_name(addresses: list[str], nowhere: list[Address]) -> None:
    with name_server({"rebind.test": lambda _: addresses}) as names, pytest.raises(RefusedUrl):
        get(names)
    assert nowhere == []


@pytest.mark.parametrize("period", [2, 3])
def test_a_name_that_alternates_never_gets_an_inner_address_connected(period: int, led_here: list[Any]) -> None:
    with name_server({"rebind.test": lambda number: [BAD if number % period else OUTSIDE]}) as names:
        outcomes = []
        for _ in range(12):
            try:
                outcomes.append(get(names))
            except RefusedUrl:
                outcomes.append(b"refused")

    assert outcomes.count(b"hi") == 12 // period
    assert outcomes.count(b"refused") == 12 - 12 // period
    assert set(led_here) == {(OUTSIDE, 443)}


@pytest.mark.parametrize(
    "network",
    [
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24"),
        *("203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32"),
        *("::/128", "::1/128", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23"),
        *("2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    ],
)
def test_no_address_of_a_special_network_is_public(network: str) -> None:
    """IANA's registries of special-purpose addresses, IPv4 and IPv6: the ends of each, and places between."""
    special = ipaddress.ip_network(network)
    step = max(1, special.num_addresses // 7)
    for offset in {0, special.num_addresses - 1, *range(0, special.num_addresses, step)}:
        assert not is_public(special[offset])


@pytest.mark.parametrize("name", ["a" * 64, "", "-", "\u0130stanbul", "\u212a.test", "xn--", "a\u200db"])
def test_a_resolver_that_breaks_over_a_name_is_an_error_of_the_family(name: str) -> None:
    def breaks(host: str, port: int) -> list[str]:
        raise UnicodeError("label too long")

    with pytest.raises(ColdswapError):
        fetch(f"https://{name}.test/", limit=1000, deadline=Deadline.after(1), resolve=breaks)
