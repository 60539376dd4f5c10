"""The one way to fetch a URL that a stranger gave, or to post to it.

Only https on port 443; the name is resolved once, every address of it must be public, and the connection goes to that
very address while TLS and Host keep the name; bytes and time are bounded. A redirect is followed only where a file is
fetched and the caller says how often, and each URL on the way is checked like the first. Beside the public internet
there are only the origins that the operator trusts by exact scheme, host and port.
"""

from __future__ import annotations

import io
import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import IO, TYPE_CHECKING

from layers.core.address_check import Resolve, is_public, resolve_public
from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, RefusedUrl, TooLarge, UpstreamFailed
from layers.core.url_check import Target, join_location, parse_url

if TYPE_CHECKING:
    from layers.core.http_transport import HttpResponse

PIECE_BYTES = 1 << 16  # read at once
_RETRYABLE_STATUSES = (408, 425, 429)  # of the 4xx ones (RFC 9110, 8470 and 6585)
_REDIRECTS = (301, 302, 303, 307, 308)  # RFC 9110, section 15.4; the others of 3xx lead nowhere


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
    target, addresses = _check(url, deadline, trusted_origins, resolve)
    with _exchange(target, addresses, deadline, method, headers or {}, body) as response:
        yield response


def fetch(
    url: str,
    *,
    limit: int,
    deadline: Deadline,
    accept: str = "*/*",
    trusted_origins: frozenset[str] = frozenset(),
    max_redirects: int = 0,
    resolve: Resolve | None = None,
) -> bytes:
    """The body of the response to a GET, at most `limit` bytes, all of it before the deadline.

    `accept` is the media types that are asked for. Raises RefusedUrl, InputNotFound (the server refuses the request),
    TooLarge or UpstreamFailed.
    """
    file = io.BytesIO()
    fetch_into(
        file,
        url,
        limit=limit,
        deadline=deadline,
        accept=accept,
        trusted_origins=trusted_origins,
        max_redirects=max_redirects,
        resolve=resolve,
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
    max_redirects: int = 0,
    resolve: Resolve | None = None,
) -> None:
    """Fetch as `fetch` does, into a file, piece by piece. Raises the same."""
    with _open_last(url, deadline, trusted_origins, accept, max_redirects, resolve) as response:
        _check_response(response, limit)
        size = 0
        while piece := response.read(PIECE_BYTES):
            size += len(piece)
            if size > limit:
                raise TooLarge(f"The file at {response.host} has more than {limit} bytes.")
            file.write(piece)


def check_url(url: str, trusted_origins: frozenset[str] = frozenset()) -> None:
    """Raise RefusedUrl for a URL that `open_url` would refuse whatever its name resolves to."""
    target = parse_url(url, trusted_origins)
    try:
        address = ipaddress.ip_address(target.host)
    except ValueError:
        return
    if not target.trusted and not is_public(address):
        raise RefusedUrl(f"{target.host} is not on the public internet.")


@contextmanager
def _open_last(
    url: str,
    deadline: Deadline,
    trusted_origins: frozenset[str],
    accept: str,
    max_redirects: int,
    resolve: Resolve | None,
) -> Iterator[HttpResponse]:
    """Yield the response at the end of the redirects from a URL, each of which is checked like a new URL."""
    target, addresses = _check(url, deadline, trusted_origins, resolve)
    for followed in range(max_redirects + 1):
        with _exchange(target, addresses, deadline, "GET", {"Accept": accept}, None) as response:
            if response.status not in _REDIRECTS or not max_redirects:
                yield response
                return
            host, location = response.host, response.location
        if location is None:
            raise RefusedUrl(f"{host} redirects without saying where to. Give the final URL.")
        if followed < max_redirects:
            try:
                target, addresses = _check(join_location(target, location), deadline, trusted_origins, resolve)
            except RefusedUrl as error:
                raise RefusedUrl(f"{host} redirects to a URL that is not allowed. {error.detail}") from None
    raise RefusedUrl(f"{host} redirects again after {max_redirects} redirects, which is too often. Give the final URL.")


def _check(
    url: str, deadline: Deadline, trusted_origins: frozenset[str], resolve: Resolve | None
) -> tuple[Target, list[str]]:
    target = parse_url(url, trusted_origins)
    return target, resolve_public(target.host, target.port, deadline, trusted=target.trusted, resolve=resolve)


def _exchange(
    target: Target,
    addresses: list[str],
    deadline: Deadline,
    method: str,
    headers: Mapping[str, str],
    body: bytes | None,
) -> AbstractContextManager[HttpResponse]:
    from layers.core.http_transport import open_exchange  # imports requests, which not every request needs

    return open_exchange(target, addresses, deadline, method=method, headers=headers, body=body)


def _check_response(response: HttpResponse, limit: int) -> None:
    if 300 <= response.status < 400:
        raise RefusedUrl(f"{response.host} redirects elsewhere (status {response.status}). Give the final URL.")
    if 400 <= response.status < 500 and response.status not in _RETRYABLE_STATUSES:
        raise InputNotFound(f"{response.host} does not serve this file: it responded with status {response.status}.")
    if response.status != 200:
        raise UpstreamFailed(f"{response.host} responded with status {response.status}.")
    if (response.header("Content-Encoding") or "identity").lower() != "identity":
        raise UpstreamFailed(f"{response.host} compressed the file although the request ruled that out.")
    if (response.content_length or 0) > limit:
        raise TooLarge(f"The file at {response.host} has more than {limit} bytes.")
