"""The one way to fetch a URL that a stranger gave, or to post to it.

Only https on port 443; the name is resolved once, every address of it must be public, and the connection goes to that
very address while TLS and Host keep the name; no redirect is followed; bytes and time are bounded. Beside the public
internet there are only the origins that the operator trusts by exact scheme, host and port.
"""

from __future__ import annotations

import http.client
import io
import ipaddress
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import IO
from urllib.parse import urlsplit

from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, RefusedUrl, TooLarge, UpstreamFailed

USER_AGENT = "Coldswap/1"
MAX_URL_CHARS = 4096  # characters
PIECE_BYTES = 1 << 16  # read at once
CONNECT_SECONDS = 5.0
_MAX_ADDRESSES = 3  # tried one after another
_RETRYABLE_STATUSES = (408, 425, 429)  # of the 4xx ones (RFC 9110, 8470 and 6585)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Resolve = Callable[[str, int], list[str]]

_HOST = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.?"
)
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\.?")

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


@dataclass(frozen=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    trusted: bool


class HttpResponse:
    """A response whose body is read piece by piece. Its status is for the caller to judge."""

    def __init__(self, response: http.client.HTTPResponse, target: _Target, deadline: Deadline) -> None:
        self.status = response.status
        self.host = target.host
        self._response = response
        self._target = target
        self._deadline = deadline
        self._bytes_read = 0

    def header(self, name: str) -> str | None:
        """A header's value, or None."""
        value: str | None = self._response.getheader(name)
        return value

    @property
    def content_length(self) -> int | None:
        """Bytes of the body according to its header; None where that is missing, not a number, or does not count."""
        value = self.header("Content-Length") or ""
        return int(value) if value.isascii() and value.isdigit() and not self._response.chunked else None

    def read(self, count: int) -> bytes:
        """At most `count` bytes; empty at the end. Raises UpstreamFailed if the body ends before it should."""
        with _translate_errors(self._target, self._deadline):
            piece = self._response.read(count)
            self._bytes_read += len(piece)
            if not piece and (self._deadline.left() <= 0 or self._bytes_read < (self.content_length or 0)):
                raise http.client.IncompleteRead(b"")
        return piece


@contextmanager
def open_url(
    url: str,
    *,
    deadline: Deadline,
    trusted_origins: frozenset[str] = frozenset(),
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
    resolve: Resolve | None = None,
) -> Iterator[HttpResponse]:
    """Send one request and yield the response, whatever its status; a redirect is a response like any other.

    Raises RefusedUrl, or UpstreamFailed, whose `sent` says whether the request may have been sent. No error quotes more
    of the URL than its host. `resolve` is the system's resolver unless a test brings its own.
    """
    target = _parse(url, trusted_origins)
    addresses = _resolve_public(target, resolve or _system_resolve, deadline)
    with ExitStack() as stack:
        # What the caller does with the response is not in here: its own errors are not the server's.
        with _translate_errors(target, deadline, sent=False):
            sock = stack.enter_context(_connect(target, addresses, deadline))
            stack.enter_context(_shut_down_at(deadline, sock))
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        with _translate_errors(target, deadline):
            response = _send_request(target, sock, method, headers or {}, body, deadline)
        with response:
            yield HttpResponse(response, target, deadline)


def fetch(
    url: str,
    *,
    limit: int,
    deadline: Deadline,
    accept: str = "*/*",
    trusted_origins: frozenset[str] = frozenset(),
    resolve: Resolve | None = None,
) -> bytes:
    """The body of the response to a GET, at most `limit` bytes, all of it before the deadline.

    `accept` is the media types that are asked for. Raises RefusedUrl, InputNotFound (the server refuses the request),
    TooLarge or UpstreamFailed.
    """
    file = io.BytesIO()
    fetch_into(
        file, url, limit=limit, deadline=deadline, accept=accept, trusted_origins=trusted_origins, resolve=resolve
    )
    return file.getvalue()


def fetch_into(
    file: IO[bytes],
    url: str,
    *,
    limit: int,
    deadline: Deadline,
    accept: str = "*/*",
    trusted_origins: frozenset[str] = frozenset(),
    resolve: Resolve | None = None,
) -> None:
    """Fetch as `fetch` does, into a file, piece by piece. Raises the same."""
    headers = {"Accept": accept}
    with open_url(
        url, deadline=deadline, trusted_origins=trusted_origins, headers=headers, resolve=resolve
    ) as response:
        _check_response(response, limit)
        size = 0
        while piece := response.read(PIECE_BYTES):
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The file at {response.host} has more than {limit} bytes.")
            file.write(piece)


def check_url(url: str, trusted_origins: frozenset[str] = frozenset()) -> None:
    """Raise RefusedUrl for a URL that `open_url` would refuse whatever its name resolves to."""
    target = _parse(url, trusted_origins)
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        return
    if not target.trusted and not is_public(address):
        raise RefusedUrl(f"{target.host} is not on the public internet.")


def _parse(url: str, trusted_origins: frozenset[str]) -> _Target:
    if len(url) > MAX_URL_CHARS or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise RefusedUrl(f"A URL must be at most {MAX_URL_CHARS} ASCII characters, without spaces or backslashes.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise RefusedUrl("This is not a valid URL.") from None
    scheme = parts.scheme.lower()
    if "@" in parts.netloc:
        raise RefusedUrl("A URL must not contain a user name or password.")
    if port is None:
        port = {"https": 443, "http": 80}.get(scheme, 0)
    trusted = f"{scheme}://{host}:{port}" in trusted_origins
    if not trusted and (scheme != "https" or port != 443):
        raise RefusedUrl("Only https URLs on port 443 are allowed.")
    if parts.netloc.startswith("["):
        _parse_address(host)
    elif not _HOST.fullmatch(host):
        raise RefusedUrl("The host of this URL is not a valid host name.")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _parse_address(host)
    path = parts.path or "/"
    return _Target(scheme, host, port, f"{path}?{parts.query}" if parts.query else path, trusted)


def _parse_address(host: str) -> Address:
    """Parse an address in its canonical spelling; other spellings (octal, hexadecimal, short) are tricks."""
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


def _resolve_public(target: _Target, resolve: Resolve, deadline: Deadline) -> list[str]:
    """Resolve the target's name; every address must be public unless the origin is trusted. At most three return."""
    addresses: list[str] = []
    failure = threading.Event()

    def look_up() -> None:
        try:
            addresses.extend(dict.fromkeys(resolve(target.host, target.port)))
        except (OSError, UnicodeError):
            failure.set()

    # The system's resolver has no time limit, so its thread is abandoned where it takes too long.
    thread = threading.Thread(target=look_up, daemon=True)
    thread.start()
    thread.join(max(0.0, min(deadline.left(), CONNECT_SECONDS)))
    if thread.is_alive() or failure.is_set() or not addresses:
        raise _upstream_failure(f"The host name {target.host} does not resolve. Check the URL.", sent=False)
    parsed = [ipaddress.ip_address(address.partition("%")[0]) for address in addresses]
    if not target.trusted and not all(map(is_public, parsed)):
        raise RefusedUrl(f"{target.host} is not on the public internet.")
    return addresses[:_MAX_ADDRESSES]


def _system_resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@contextmanager
def _translate_errors(target: _Target, deadline: Deadline, *, sent: bool = True) -> Iterator[None]:
    """Translate faults of the connection into UpstreamFailed; `sent` is whether the request may be on its way."""
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise _upstream_failure(f"{target.host} has no valid certificate.", sent) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.left() <= 0:
            raise _upstream_failure(f"{target.host} did not deliver in time.", sent) from None
        raise _upstream_failure(f"{target.host} did not deliver ({type(error).__name__}).", sent) from None


def _upstream_failure(sentence: str, sent: bool) -> UpstreamFailed:
    error = UpstreamFailed(sentence)
    error.sent = sent
    return error


@contextmanager
def _connect(target: _Target, addresses: list[str], deadline: Deadline) -> Iterator[socket.socket]:
    """Connect to the first address that accepts; an https socket is ready for TLS under the target's name."""
    sock: socket.socket | None = None
    for number, address in enumerate(addresses, 1):
        try:
            wait = max(0.01, min(CONNECT_SECONDS, deadline.left()))
            sock = socket.create_connection((address, target.port), timeout=wait)
            break
        except OSError:
            if number == len(addresses):
                raise
    assert sock is not None  # the loop above ends with a socket or an error
    with sock:
        if target.scheme != "https":
            yield sock
            return
        # The handshake is left to the caller, inside its time limit.
        name = target.host.rstrip(".")
        with _tls().wrap_socket(sock, server_hostname=name, do_handshake_on_connect=False) as secure:
            yield secure


@cache
def _tls() -> ssl.SSLContext:
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


@contextmanager
def _shut_down_at(deadline: Deadline, sock: socket.socket) -> Iterator[None]:
    """Shut the connection down at the deadline: the socket's own time-out starts anew with every byte."""

    def cut() -> None:
        try:
            # Not the method of a TLS socket, which would take the session from under the reader.
            socket.socket.shutdown(sock, socket.SHUT_RDWR)
        except OSError:
            return

    timer = threading.Timer(max(0.0, deadline.left()), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _send_request(
    target: _Target,
    sock: socket.socket,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
    deadline: Deadline,
) -> http.client.HTTPResponse:
    sock.settimeout(max(0.01, deadline.left()))
    connection = http.client.HTTPConnection(target.host, target.port)
    connection.sock = sock
    connection.default_port = 443 if target.scheme == "https" else 80  # not named in the Host header
    # Without identity a few kilobytes could unpack to gigabytes.
    ours = {"Accept-Encoding": "identity", "User-Agent": USER_AGENT, "Connection": "close"}
    connection.request(method, target.path, body=body, headers={**headers, **ours})
    response = connection.getresponse()
    int(response.getheader("Content-Length") or 0)  # ValueError: a response with another length is not HTTP
    return response


def _check_response(response: HttpResponse, limit: int) -> None:
    if 300 <= response.status < 400:
        raise RefusedUrl(f"{response.host} redirects elsewhere, and redirects are not followed. Give the final URL.")
    if 400 <= response.status < 500 and response.status not in _RETRYABLE_STATUSES:
        raise InputNotFound(f"{response.host} does not serve this file: it responded with status {response.status}.")
    if response.status != 200:
        raise UpstreamFailed(f"{response.host} responded with status {response.status}.")
    if (response.header("Content-Encoding") or "identity").lower() != "identity":
        raise UpstreamFailed(f"{response.host} compressed the file although the request ruled that out.")
    if (response.content_length or 0) > limit:
        raise TooLarge(f"The file at {response.host} has more than {limit} bytes.")
