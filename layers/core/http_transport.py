"""One HTTP exchange through requests, on a transport adapter of our own.

It connects to an address that has been checked, while TLS and Host keep the name; and it is over at the deadline, even
between two bytes of a header. Nothing of the environment counts (proxies, .netrc, certificates), nothing is retried,
unpacked, followed or kept. requests takes time to import, so this module is imported once a URL is asked for.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection

from layers.core.deadline import Deadline
from layers.core.errors import UpstreamFailed
from layers.core.url_check import Target

USER_AGENT = "Coldswap/1"
CONNECT_SECONDS = 5.0
MAX_HEADER_BYTES = 1 << 16  # of all headers together; http.client bounds a line to as much, and their number to 100
_MAX_LENGTH_DIGITS = 30


@dataclass(frozen=True)
class Exchange:
    """What one exchange needs: whom to connect to, and what is undone at its end."""

    target: Target
    addresses: list[str]
    deadline: Deadline
    stack: ExitStack

    def connect(self) -> socket.socket:
        """Connect to the first address that accepts, until the deadline. Raises OSError."""
        for address in self.addresses[:-1]:
            with suppress(OSError):
                return self._connect_to(address)
        return self._connect_to(self.addresses[-1])

    def _connect_to(self, address: str) -> socket.socket:
        # Not socket.create_connection, which would ask the resolver again.
        sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.01, min(CONNECT_SECONDS, self.deadline.left())))
            sock.connect((address, self.target.port))
            self.stack.enter_context(_shut_down_at(self.deadline, sock))
        except OSError:
            sock.close()
            raise
        return sock

    @contextmanager
    def translate_errors(self, *, sent: bool = True) -> Iterator[None]:
        """Translate faults of the connection into UpstreamFailed; `sent` is whether the request may be on its way."""
        try:
            yield
        except ssl.SSLCertVerificationError:
            raise self._failure("has no valid certificate.", sent) from None
        except (OSError, http.client.HTTPException, urllib3.exceptions.HTTPError, ValueError) as error:
            if self.deadline.left() <= 0:
                raise self._failure("did not deliver in time.", sent) from None
            raise self._failure(f"did not deliver ({type(error).__name__}).", sent) from None

    def _failure(self, sentence: str, sent: bool) -> UpstreamFailed:
        error = UpstreamFailed(f"{self.target.host} {sentence}")
        error.sent = sent
        return error


class HttpResponse:
    """A response whose body is read piece by piece. Its status is for the caller to judge."""

    def __init__(self, response: requests.Response, exchange: Exchange) -> None:
        self.status = response.status_code
        self.host = exchange.target.host
        self._response = response
        self._exchange = exchange

    def header(self, name: str) -> str | None:
        """A header's value, or None."""
        value: str | None = self._response.headers.get(name)
        return value

    @property
    def location(self) -> str | None:
        """The one place that a redirect leads to; None where it names none, or several."""
        locations = set(self._response.raw.headers.getlist("Location"))
        return locations.pop() or None if len(locations) == 1 else None

    @property
    def content_length(self) -> int | None:
        """Bytes of the body according to its header; None where that is missing, not a number, or does not count."""
        value = self.header("Content-Length") or ""
        return int(value) if value.isascii() and value.isdigit() and not self._response.raw.chunked else None

    def read(self, count: int) -> bytes:
        """At most `count` bytes; empty at the end. Raises UpstreamFailed if the body ends before it should."""
        with self._exchange.translate_errors():
            piece: bytes = self._response.raw.read(count)
            if not piece and self._exchange.deadline.left() <= 0:
                raise http.client.IncompleteRead(b"")  # a body without a length looks complete when it is cut off
        return piece


@contextmanager
def open_exchange(
    target: Target,
    addresses: list[str],
    deadline: Deadline,
    *,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> Iterator[HttpResponse]:
    """Send one request to one of the addresses and yield the response.

    Raises UpstreamFailed, whose `sent` says whether the request may have been sent.
    """
    # Without identity a few kilobytes could unpack to gigabytes.
    ours = {
        "Host": target.authority,
        "Accept-Encoding": "identity",
        "User-Agent": USER_AGENT,
        "Connection": "close",
    }
    with ExitStack() as stack:
        # What the caller does with the response is not in here: its own errors are not the server's.
        exchange = Exchange(target, addresses, deadline, stack)
        session = stack.enter_context(_make_session(exchange))
        with exchange.translate_errors(sent=False):
            # The path is written by the connection, as it is. requests and urllib3 would rewrite its escapes, and quote
            # it with its query, which may hold a secret, in logs and errors.
            request = requests.Request(method, f"{target.origin}/", headers={**headers, **ours}, data=body)
            prepared = session.prepare_request(request)
        with exchange.translate_errors():
            wait = max(0.01, deadline.left())
            response = session.send(prepared, stream=True, allow_redirects=False, timeout=wait)
            stack.enter_context(response)
            length = response.headers.get("Content-Length") or "0"
            if not (length.isascii() and length.isdigit() and len(length) <= _MAX_LENGTH_DIGITS):
                raise http.client.HTTPException("a response with another length is not HTTP")
        yield HttpResponse(response, exchange)


def _make_session(exchange: Exchange) -> requests.Session:
    session = _Session()
    session.trust_env = False
    session.headers.clear()
    for scheme in ("https://", "http://"):
        session.mount(scheme, _Adapter(exchange))
    return session


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> None:
        """Find no redirect: even where none is to be followed, requests would read its whole body, and unpack it."""


class _Adapter(HTTPAdapter):
    """Sends through one connection, which the exchange makes."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__()
        host, port = exchange.target.host, exchange.target.port
        self._pool: urllib3.HTTPConnectionPool
        if exchange.target.scheme == "https":
            self._pool = _TlsPool(host, port, ssl_context=tls_context(), server_hostname=host, exchange=exchange)
        else:
            self._pool = _Pool(host, port, exchange=exchange)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_: Any, **__: Any) -> None:
        """Leave that to the TLS context, which always verifies: requests would load all certificates each time."""

    def close(self) -> None:
        super().close()
        self._pool.close()


class _Response(http.client.HTTPResponse):
    def begin(self) -> None:
        super().begin()
        if sum(len(name) + len(value) for name, value in self.headers.items()) > MAX_HEADER_BYTES:
            raise http.client.HTTPException("too many bytes of headers")
        # Cookies are not kept, so they need not be parsed.
        del self.headers["Set-Cookie"]
        # urllib3 logs what does not parse, and a stranger could write into the log.
        self.headers.defects.clear()
        self.headers.set_payload("")


class _Connection(HTTPConnection):
    response_class = _Response

    def __init__(self, *arguments: Any, exchange: Exchange, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._exchange = exchange

    def connect(self) -> None:
        with self._exchange.translate_errors(sent=False):
            super().connect()

    def _new_conn(self) -> socket.socket:
        return self._exchange.connect()

    def putrequest(self, method: str, url: str, *arguments: Any, **options: Any) -> None:
        super().putrequest(method, self._exchange.target.path, *arguments, **options)


class _TlsConnection(_Connection, HTTPSConnection):
    """The same, with urllib3's TLS handshake."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


@cache
def tls_context() -> ssl.SSLContext:
    """Whom to trust: certifi's authorities."""
    import certifi

    return ssl.create_default_context(cafile=certifi.where())


@contextmanager
def _shut_down_at(deadline: Deadline, sock: socket.socket) -> Iterator[None]:
    """Shut the connection down at the deadline: the socket's own time-out starts anew with every byte."""
    is_over = threading.Event()
    # Another handle on the same connection: TLS takes the socket's own, and must keep its session while it reads.
    with sock.dup() as handle:

        def cut() -> None:
            while (left := deadline.left()) > 0:  # again where the deadline has been put off meanwhile
                if is_over.wait(left):
                    return
            with suppress(OSError):
                handle.shutdown(socket.SHUT_RDWR)

        watch = threading.Thread(target=cut, name="deadline", daemon=True)
        watch.start()
        try:
            yield
        finally:
            is_over.set()
            watch.join()
