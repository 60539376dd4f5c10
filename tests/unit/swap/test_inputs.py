"""Pictures that are named by URL, from a real server on the loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from functions.swap import inputs
from functions.swap.context import SwapContext
from functions.swap.verify import verify
from layers.core.deadline import Deadline
from layers.core.errors import PictureTooLarge, RefusedUrl
from tests.unit.core.test_http_fetch import server
from tests.unit.swap.fake_stack import FakeSwapStack, drawing, encode, settings

PICTURE = encode(drawing())
Read = Callable[[str, SwapContext], Any]
READERS: dict[str, Read] = {
    "a picture": lambda uri, context: inputs.read(uri, None, context),
    "a file to verify": lambda uri, context: verify(uri, None, context),
}


@contextmanager
def picture_behind(redirects: int) -> Iterator[str]:
    """The URL of a picture that so many redirects lead to."""

    def serve(connection: socket.socket) -> None:
        left = int(connection.recv(65536).split(b" ")[1].strip(b"/"))
        if left:
            head = f"HTTP/1.1 301 Moved\r\nLocation: /{left - 1}\r\nContent-Length: 0\r\n\r\n"
            connection.sendall(head.encode())
        else:
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(PICTURE)}\r\n\r\n".encode() + PICTURE)

    with server(serve) as port:
        yield f"http://127.0.0.1:{port}/{redirects}"


def context_for(url: str, **limits: Any) -> SwapContext:
    """A context of a stack that trusts the URL's origin."""
    stack = FakeSwapStack(settings=settings(trusted_origins=frozenset({url.rpartition("/")[0]}), **limits))
    return stack.services.context(Deadline.after(20))


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("redirects", [0, 1, 3])
def test_what_up_to_three_redirects_lead_to_is_read(redirects: int, reader: str) -> None:
    with picture_behind(redirects) as url:
        READERS[reader](url, context_for(url))


@pytest.mark.parametrize("reader", READERS)
def test_what_a_fourth_redirect_leads_to_is_refused(reader: str) -> None:
    with picture_behind(4) as url, pytest.raises(RefusedUrl, match="Give the final URL"):
        READERS[reader](url, context_for(url))


def test_a_picture_has_the_same_limit_behind_a_redirect() -> None:
    with picture_behind(1) as url, pytest.raises(PictureTooLarge):
        inputs.read(url, None, context_for(url, max_picture_bytes=len(PICTURE) - 1))
    with picture_behind(1) as url:
        assert inputs.read(url, None, context_for(url, max_picture_bytes=len(PICTURE))) == PICTURE
