"""Which addresses a URL that a stranger gave may lead to: those of the public internet."""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable

from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed

RESOLVE_SECONDS = 5.0
_MAX_ADDRESSES = 3  # tried one after another

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

# IANA's special-purpose registries, where Python's is_global is too generous.
_NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "224.0.0.0/4",  # multicast
        "2001::/23",  # Teredo, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: an IPv4 address inside
        "3fff::/20",  # documentation
    )
]
_IPV6_PUBLIC = ipaddress.ip_network("2000::/3")  # outside are mapped, NAT64, unique local, link-local and multicast


def parse_address(host: str) -> Address:
    """Parse an address in its canonical spelling; other spellings (octal, hexadecimal, short) are tricks.

    Raises RefusedUrl.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise RefusedUrl("The host of this URL is not a valid host name or address.") from None
    if getattr(address, "scope_id", None):
        raise RefusedUrl("An address with a zone is not on the public internet.")
    return address


def is_public(address: Address) -> bool:
    """Whether a server at this address can be on the public internet."""
    if address.version == 6 and address not in _IPV6_PUBLIC:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def resolve_public(host: str, port: int, deadline: Deadline, *, trusted: bool, resolve: Resolve | None) -> list[str]:
    """Resolve a name once; every address must be public unless the origin is trusted. At most three return.

    `resolve` is the system's resolver unless a test brings its own. Raises RefusedUrl, or UpstreamFailed with
    `sent=False`.
    """
    addresses: list[str] = []
    failure = threading.Event()

    def look_up() -> None:
        try:
            addresses.extend(dict.fromkeys((resolve or _system_resolve)(host, port)))
        except (OSError, UnicodeError):
            failure.set()

    # The system's resolver has no time limit, so its thread is abandoned where it takes too long.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(0.0, min(deadline.left(), RESOLVE_SECONDS)))
    if thread.is_alive() or failure.is_set() or not addresses:
        error = UpstreamFailed(f"The host name {host} does not resolve. Check the URL.")
        error.sent = False
        raise error
    parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    if not trusted and not all(map(is_public, parsed)):
        raise RefusedUrl(f"{host} is not on the public internet.")
    return addresses[:_MAX_ADDRESSES]


def _system_resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
