"""Pictures that are named by URL, from a real server on the loopback."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import pytest

from functions.swap import inputs
from functions.swap.context import SwapContext
from functions.swap.verify import verify
from layers.core.deadline import Deadline
from layers.core.errors import MovingMeme, PictureTooLarge, RefusedUrl
from tests.support.plain_gifs import write_gif
from tests.unit.core.test_http_fetch import server
from tests.unit.media.moving.test_video import EVEN
from tests.unit.media.moving.test_video import encode as encode_video
from tests.unit.swap.fake_stack import MOVING_ARN, UPLOADS, FakeSwapStack, MemoryStorage, drawing, encode, settings

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


def large_gif() -> bytes:
    return write_gif([drawing(1, 40, 30, 0.1) + number for number in range(3)])


@contextmanager
def served(content: bytes, asked: list[bytes]) -> Iterator[str]:
    """The URL of a file; `asked` gets each request for it."""

    def serve(connection: socket.socket) -> None:
        asked.append(connection.recv(65536))
        with suppress(OSError):  # a caller who has seen enough goes away
            connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content)

    with server(serve) as port:
        yield f"http://127.0.0.1:{port}/meme"


def uploads(context: SwapContext) -> set[str]:
    """The keys of the uploads bucket, in which the stack has one picture from the beginning."""
    return {key for bucket, key in cast(MemoryStorage, context.storage).objects if bucket == UPLOADS}


MOVING: dict[str, Callable[[], bytes]] = {"a video": lambda: encode_video("a.mp4", EVEN), "a large GIF": large_gif}


@pytest.mark.parametrize("kind", MOVING)
def test_a_meme_that_turns_out_to_move_is_fetched_once_and_kept(kind: str) -> None:
    content, asked, moved = MOVING[kind](), list[bytes](), list[bool]()
    with served(content, asked) as url:
        context = context_for(url, max_picture_bytes=len(content) - 1)

        with pytest.raises(MovingMeme) as caught:
            inputs.read_meme(url, "ann", context, lambda: moved.append(True))

    bucket, _, key = (caught.value.uri or "").removeprefix("s3://").partition("/")
    assert bucket == UPLOADS
    assert key.startswith("requests/ann/"), "where it expires in a day"
    head = context.storage.head(bucket, key)
    assert head is not None
    assert head.size == len(content)
    assert context.storage.read(bucket, key, len(content), Deadline.after(9)).data == content
    assert (len(asked), moved) == (1, [True])


def test_where_nobody_would_come_back_for_it_a_video_is_left_at_its_first_bytes() -> None:
    with served(MOVING["a video"](), []) as url:
        context = context_for(url)
        with pytest.raises(MovingMeme, match=MOVING_ARN) as caught:
            inputs.read_meme(url, None, context)

    assert caught.value.uri is None
    assert uploads(context) == {"requests/1/meme"}


def test_a_moving_meme_over_the_limits_is_refused_before_it_is_kept() -> None:
    with served(MOVING["a video"](), []) as url:
        context = context_for(url, max_moving_frames=24)
        with pytest.raises(PictureTooLarge, match="more than 24 frames"):
            inputs.read_meme(url, "ann", context)

    assert uploads(context) == {"requests/1/meme"}


def test_a_still_picture_stays_in_memory() -> None:
    asked = list[bytes]()
    with served(PICTURE, asked) as url:
        assert inputs.read_meme(url, "ann", context_for(url)) == PICTURE
    assert len(asked) == 1
