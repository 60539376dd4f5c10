"""Pixels as numbers, and rectangles of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layers.media.picture import Pixels

Canvas = NDArray[np.uint32]  # [H, W], BGRA in memory: a pixel is one number, and 0 is transparent
Box = tuple[slice, slice]  # rows and columns

OPAQUE = np.uint32(0xFF000000)


def as_pixels(canvas: Canvas) -> Pixels:
    """The same memory as uint8 BGRA [H, W, 4]."""
    return canvas.view(np.uint8).reshape(*canvas.shape, 4)


def as_canvas(pixels: Pixels) -> Canvas:
    """Pixels, uint8 BGR or BGRA [H, W, 3 or 4], as numbers: the same memory where it is contiguous and has alpha.

    Nobody sees the colours of what is wholly transparent, so they do not travel on.
    """
    if pixels.shape[2] == 3:
        pixels = np.dstack((pixels, np.full(pixels.shape[:2], 255, np.uint8)))
    canvas = np.ascontiguousarray(pixels).view(np.uint32)[:, :, 0]
    clear = (canvas < 1 << 24) & (canvas > 0)
    return np.where(clear, np.uint32(0), canvas) if clear.any() else canvas


def find_box(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest rectangle that holds all that is set; None for nothing."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def unite(box: Box | None, other: Box) -> Box | None:
    """The smallest rectangle that holds both."""
    if other[0].start == other[0].stop or other[1].start == other[1].stop:
        return box
    if box is None:
        return other
    rows, columns = (
        slice(min(one.start, two.start), max(one.stop, two.stop)) for one, two in zip(box, other, strict=True)
    )
    return rows, columns
