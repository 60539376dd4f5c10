"""From the blocks of a GIF to frames, as browsers show them.

OpenCV unpacks each image by itself, from a GIF made for that purpose whose colours are their own indices; what is drawn
where is decided here. Its own animation reader fails on rectangles beyond the canvas and loses transparency.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from layers.media.moving.canvas import OPAQUE, Box, Canvas, as_pixels
from layers.media.moving.description import Frame
from layers.media.moving.gif_blocks import Buffer, GifFile, GifImage, play_delay
from layers.media.moving.gif_lzw import unpack_any
from layers.media.picture import Pixels

_CLEAR, _RESTORE = 2, 3  # disposals
_GREYS = bytes(level for index in range(256) for level in (index, index, index))


def read_gif_frames(data: Buffer, file: GifFile) -> Iterator[Frame]:
    """Yield the frames, uint8 BGRA [H, W, 4], one at a time. Ends before the first that cannot be unpacked."""
    screen = GifScreen(file.width, file.height)
    last: Canvas | None = None
    start = Fraction(0)
    for number, image in enumerate(file.images):
        unpacked = unpack(data, image)
        if unpacked is None:
            return
        screen.begin(image)
        _draw(screen.canvas, image, unpacked, read_table(data, image.table))
        shown = screen.canvas.copy()
        delay = Fraction(play_delay(image.delay), 100)
        yield Frame(number, as_pixels(shown), start, delay, last is not None and np.array_equal(shown, last))
        screen.dispose(image.disposal, clip(image, file.width, file.height))
        start, last = start + delay, shown


class GifScreen:
    """What is on a browser's screen while it plays a GIF."""

    def __init__(self, width: int, height: int) -> None:
        self.canvas: Canvas = np.zeros((height, width), np.uint32)
        self._before: Canvas | None = None

    def begin(self, image: GifImage) -> None:
        """Keep what is there, where the image is to be taken back."""
        self._before = self.canvas.copy() if image.disposal == _RESTORE else None

    def dispose(self, disposal: int, place: Box) -> None:
        """Do what an image's disposal asks for after it was shown at that place."""
        if disposal == _CLEAR:
            self.canvas[place] = 0
        elif disposal == _RESTORE and self._before is not None:
            self.canvas, self._before = self._before, None


def clip(image: GifImage, width: int, height: int) -> Box:
    """Rows and columns of the canvas that an image covers."""
    return (
        slice(min(image.y, height), min(image.y + image.height, height)),
        slice(min(image.x, width), min(image.x + image.width, width)),
    )


def read_table(data: Buffer, place: tuple[int, int]) -> Canvas:
    """The colours of a table at that place, opaque, uint32 [256]; those that the file lacks are black."""
    at, count = place
    table = np.full(256, OPAQUE, np.uint32)
    rgb = np.frombuffer(data, np.uint8, 3 * count, at).reshape(count, 3).astype(np.uint32)
    table[:count] |= rgb[:, 0] << 16 | rgb[:, 1] << 8 | rgb[:, 2]
    return table


def unpack(data: Buffer, image: GifImage) -> tuple[Pixels, int] | None:
    """The indices of an image, uint8 [h, w], and how many of them, in the file's order, are there.

    Browsers show an image whose pixels end too early, and pass over pixels that are too many. None if it is damaged.
    """
    indices = _unpack_whole(data, image)
    if indices is not None:
        return indices, indices.size
    size = image.width * image.height
    pixels = unpack_any(memoryview(data)[slice(*image.data)], size)
    if not pixels:
        return None
    rows = np.frombuffer(pixels.ljust(size, b"\0"), np.uint8).reshape(image.height, image.width)
    indices = np.empty_like(rows)
    indices[_order_rows(image)] = rows
    return indices, len(pixels)


def _unpack_whole(data: Buffer, image: GifImage) -> Pixels | None:
    """The indices of an image that has as many as it says; None for others."""
    import cv2

    size = struct.pack("<HH", image.width, image.height)
    head = b"GIF89a" + size + b"\xf7\0\0" + _GREYS
    descriptor = b"\x2c\0\0\0\0" + size + (b"\x40" if image.interlaced else b"\0")
    file = b"".join((head, descriptor, memoryview(data)[slice(*image.data)], b"\x3b"))
    try:
        pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        return None
    if pixels is None or pixels.shape[:2] != (image.height, image.width):
        return None
    return np.ascontiguousarray(pixels[:, :, 0], np.uint8)


def _order_rows(image: GifImage) -> list[int]:
    """The rows in the file's order."""
    passes = ((0, 8), (4, 8), (2, 4), (1, 2)) if image.interlaced else ((0, 1),)
    return [row for start, step in passes for row in range(start, image.height, step)]


def _find_missing(image: GifImage, count: int) -> NDArray[np.bool_]:
    """Where an image of only `count` pixels has none."""
    missing = np.empty((image.height, image.width), bool)
    missing[_order_rows(image)] = (np.arange(missing.size) >= count).reshape(missing.shape)
    return missing


def _draw(canvas: Canvas, image: GifImage, unpacked: tuple[Pixels, int], table: Canvas) -> None:
    indices, count = unpacked
    place = canvas[clip(image, canvas.shape[1], canvas.shape[0])]
    drawn = (slice(place.shape[0]), slice(place.shape[1]))
    visible = np.ones(place.shape, bool)
    if count < indices.size:
        visible &= ~_find_missing(image, count)[drawn]
    if image.transparent is not None:
        visible &= indices[drawn] != image.transparent
    np.copyto(place, table[indices[drawn]], where=visible)
