"""The one way by which a stranger's URL is fetched, or posted to.

https on port 443 only; the name is resolved once, every address it has must be public, and the connection goes to that
very address with the name kept for TLS and Host; no redirect is followed; bytes and time are bounded. Beside the public
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
LONGEST_URL = 4096  # characters
PIECE = 1 << 16  # bytes read between two looks at the clock
CONNECT_SECONDS = 5.0
_MOST_ADDRESSES = 3  # tried one after another
_WORTH_A_RETRY = (408, 425, 429)  # of the answers that blame the request (RFC 9110, 8470 and 6585)

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
class FetchedFile:
    """What a URL gave."""

    data: bytes
    content_type: str | None


@dataclass(frozen=True)
class _Target:
    scheme: str
    host: str
    port: int
    path: str
    trusted: bool


class HttpResponse:
    """A server's answer whose body is read piece by piece. Its status is for the caller to judge."""

    def __init__(self, answer: http.client.HTTPResponse, target: _Target, deadline: Deadline) -> None:
        self.status = answer.status
        self.host = target.host
        self._answer = answer
        self._target = target
        self._deadline = deadline
        self._read = 0

    def header(self, name: str) -> str | None:
        """A header's value; None where there is none."""
        value: str | None = self._answer.getheader(name)
        return value

    @property
    def promised(self) -> int | None:
        """Bytes of the body as the server says, where it says."""
        said = self.header("Content-Length") or ""
        return int(said) if said.isascii() and said.isdigit() and not self._answer.chunked else None

    def read(self, count: int) -> bytes:
        """At most `count` bytes; empty at the end. Raises UpstreamFailed where the body ends before it should."""
        with _told(self._target, self._deadline):
            piece = self._answer.read(count)
            self._read += len(piece)
            if not piece and (self._deadline.left() <= 0 or self._read < (self.promised or 0)):
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
    """The answer to one request, whatever its status; a redirect is an answer like any other.

    Raises RefusedUrl or UpstreamFailed, which says whether the request may have been sent. No error holds more of the
    URL than its host. `resolve` is the system's resolver unless a test brings its own.
    """
    target = _parse(url, trusted_origins)
    addresses = _addresses(target, resolve or _system_resolve, deadline)
    with ExitStack() as stack:
        # What the caller does with the answer is not in here: its own errors are not the server's.
        with _told(target, deadline, sent=False):
            sock = stack.enter_context(_connected(target, addresses, deadline))
            stack.enter_context(_cut_at(deadline, sock))
            if isinstance(sock, ssl.SSLSocket):
                sock.do_handshake()
        with _told(target, deadline):
            answer = _ask(target, sock, method, headers or {}, body, deadline)
        with answer:
            yield HttpResponse(answer, target, deadline)


def fetch(
    url: str,
    *,
    limit: int,
    deadline: Deadline,
    trusted_origins: frozenset[str] = frozenset(),
    resolve: Resolve | None = None,
) -> FetchedFile:
    """The body of a GET for a picture, `limit` bytes at most, all of it before the deadline.

    Raises RefusedUrl, InputNotFound (the server refuses it), TooLarge or UpstreamFailed.
    """
    data = io.BytesIO()
    content_type = fetch_into(
        data, url, limit=limit, deadline=deadline, trusted_origins=trusted_origins, resolve=resolve
    )
    return FetchedFile(data.getvalue(), content_type)


def fetch_into(
    file: IO[bytes],
    url: str,
    *,
    limit: int,
    deadline: Deadline,
    accept: str = "image/*",
    trusted_origins: frozenset[str] = frozenset(),
    resolve: Resolve | None = None,
) -> str | None:
    """The same into a file, piece by piece; the Content-Type."""
    headers = {"Accept": accept}
    with open_url(url, deadline=deadline, trusted_origins=trusted_origins, headers=headers, resolve=resolve) as answer:
        _check_answer(answer, limit)
        size = 0
        while piece := answer.read(PIECE):
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The file at {answer.host} has more than {limit} bytes.")
            file.write(piece)
        return answer.header("Content-Type")


def check_url(url: str, trusted_origins: frozenset[str] = frozenset()) -> None:
    """Raises RefusedUrl for what `opened` would refuse whatever its name resolves to."""
    target = _parse(url, trusted_origins)
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        return
    if not target.trusted and not is_public(address):
        raise RefusedUrl(f"{target.host} is not a server of the public internet.")


def _parse(url: str, trusted_origins: frozenset[str]) -> _Target:
    if len(url) > LONGEST_URL or not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        raise RefusedUrl(f"A URL has at most {LONGEST_URL} plain ASCII characters, and no blank among them.")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError:
        raise RefusedUrl("This is not a valid URL.") from None
    scheme = parts.scheme.lower()
    if "@" in parts.netloc:
        raise RefusedUrl("A URL with a user name or password is not fetched.")
    if port is None:
        port = {"https": 443, "http": 80}.get(scheme, 0)
    trusted = f"{scheme}://{host}:{port}" in trusted_origins
    if not trusted and (scheme != "https" or port != 443):
        raise RefusedUrl("Only https URLs on port 443 are fetched.")
    if parts.netloc.startswith("["):
        _literal(host)
    elif not _HOST.fullmatch(host):
        raise RefusedUrl("The host of this URL is not a valid name.")
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _literal(host)
    path = parts.path or "/"
    return _Target(scheme, host, port, f"{path}?{parts.query}" if parts.query else path, trusted)


def _literal(host: str) -> Address:
    """An address in its one canonical spelling; the odd ones (octal, hexadecimal, short) are tricks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise RefusedUrl("The host of this URL is not a valid name or address.") from None
    if getattr(address, "scope_id", None):
        raise RefusedUrl("An address with a zone is not public.")
    return address


def is_public(address: Address) -> bool:
    """Whether a server at this address can be one of the public internet's."""
    if address.version == 6 and address not in _IPV6_PUBLIC:
        return False
    return address.is_global and not any(address in network for network in _NOT_PUBLIC)


def _addresses(target: _Target, resolve: Resolve, deadline: Deadline) -> list[str]:
    """All that the name resolves to, each of them public unless the origin is trusted."""
    found: list[str] = []
    failed = threading.Event()

    def ask() -> None:
        try:
            found.extend(dict.fromkeys(resolve(target.host, target.port)))
        except (OSError, UnicodeError):
            failed.set()

    # The system's resolver knows no time limit, so it is left behind where it takes too long.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(max(0.0, min(deadline.left(), CONNECT_SECONDS)))
    if asking.is_alive() or failed.is_set() or not found:
        raise _failure(f"The name {target.host} does not resolve. Check the URL.", sent=False)
    if not target.trusted and not all(is_public(ipaddress.ip_address(each.partition("%")[0])) for each in found):
        raise RefusedUrl(f"{target.host} is not a server of the public internet.")
    return found[:_MOST_ADDRESSES]


def _system_resolve(host: str, port: int) -> list[str]:
    return [str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


@contextmanager
def _told(target: _Target, deadline: Deadline, *, sent: bool = True) -> Iterator[None]:
    """Faults of the connection as one of the family; `sent` is whether the request may be on its way."""
    try:
        yield
    except ssl.SSLCertVerificationError:
        raise _failure(f"{target.host} has no valid certificate.", sent) from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        if deadline.left() <= 0:
            raise _failure(f"{target.host} did not deliver in time.", sent) from None
        raise _failure(f"{target.host} did not deliver ({type(error).__name__}).", sent) from None


def _failure(sentence: str, sent: bool) -> UpstreamFailed:
    error = UpstreamFailed(sentence)
    error.sent = sent
    return error


@contextmanager
def _connected(target: _Target, addresses: list[str], deadline: Deadline) -> Iterator[socket.socket]:
    """A connection to the first address that takes one; for https ready for TLS under the target's name."""
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
def _cut_at(deadline: Deadline, sock: socket.socket) -> Iterator[None]:
    """Shut the connection when the deadline comes: a time-out of the socket alone starts anew with every byte."""

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


def _ask(
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
    answer = connection.getresponse()
    int(answer.getheader("Content-Length") or 0)  # a length that is no number is no answer
    return answer


def _check_answer(answer: HttpResponse, limit: int) -> None:
    if 300 <= answer.status < 400:
        raise RefusedUrl(f"{answer.host} redirects elsewhere. Give the final URL.")
    if 400 <= answer.status < 500 and answer.status not in _WORTH_A_RETRY:
        raise InputNotFound(f"{answer.host} does not give this file: it answered with status {answer.status}.")
    if answer.status != 200:
        raise UpstreamFailed(f"{answer.host} answered with status {answer.status}.")
    if (answer.header("Content-Encoding") or "identity").lower() != "identity":
        raise UpstreamFailed(f"{answer.host} sends the file compressed although it was asked not to.")
    if (answer.promised or 0) > limit:
        raise TooLarge(f"The file at {answer.host} has more than {limit} bytes.")
