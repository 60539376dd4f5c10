"""The visible mark: a small dark plate with the letters AI, in a corner where no face is."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from functions.swap.values import Floats
from layers.media.picture import Pixels

Box = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels

SHARE = 0.05  # of the picture's shorter side: the plate's height
LEAST, MOST = 14, 120  # pixels of that height: below it nobody can read the letters
WIDTH, MARGIN = 1.6, 0.4  # of the height
DARK, LIGHT, OPACITY = 16.0, 250.0, 0.6  # the plate lets the picture through, the letters do not
_FINE = 4  # times as large as it is drawn, then averaged: no jagged edges


def draw_badge(pixels: Pixels, alpha: Pixels | None, faces: Sequence[Box]) -> Box:
    """Draw the mark into a picture, uint8 BGR [H, W, 3] (and its alpha [H, W], which it makes opaque there), in place.

    Returns where it is. Of the corners without a face the first is taken: bottom right, bottom left, top right, top
    left; where each has one, the corner with the least of them.
    """
    height, width = pixels.shape[:2]
    tall = min(max(round(min(height, width) * SHARE), LEAST), MOST, height, int(width / WIDTH))
    wide = int(tall * WIDTH)
    x, y = min(_corners(width, height, wide, tall), key=lambda corner: _covered(corner, wide, tall, faces))
    plate, letters = _shapes(tall, wide)
    part = pixels[y : y + tall, x : x + wide].astype(np.float32)
    part += plate * (DARK - part)
    part += letters * (LIGHT - part)
    pixels[y : y + tall, x : x + wide] = np.rint(part)
    if alpha is not None:
        under = alpha[y : y + tall, x : x + wide]
        np.maximum(under, np.rint(255 * np.maximum(plate, letters)[:, :, 0]).astype(np.uint8), out=under)
    return float(x), float(y), float(x + wide), float(y + tall)


def _corners(width: int, height: int, wide: int, tall: int) -> list[tuple[int, int]]:
    """The plate's first pixel in each, in the order in which they are preferred."""
    across, down = (min(int(tall * MARGIN), spare // 2) for spare in (width - wide, height - tall))
    left, right, top, bottom = across, width - wide - across, down, height - tall - down
    return [(right, bottom), (left, bottom), (right, top), (left, top)]


def _covered(corner: tuple[int, int], wide: int, tall: int, faces: Sequence[Box]) -> float:
    """Pixels of faces beneath the plate; equal ones are left in their order by `min`."""
    x, y = corner
    return sum(
        max(0.0, min(x1, x + wide) - max(x0, x)) * max(0.0, min(y1, y + tall) - max(y0, y)) for x0, y0, x1, y1 in faces
    )


@lru_cache(maxsize=4)
def _shapes(tall: int, wide: int) -> tuple[Floats, Floats]:
    """How much of each pixel the plate and the letters cover, float32 [H, W, 1] from 0 to 1."""
    high, broad = tall * _FINE, wide * _FINE
    plate = np.zeros((high, broad), np.uint8)
    radius = high // 4
    for x in (radius, broad - 1 - radius):
        for y in (radius, high - 1 - radius):
            cv2.circle(plate, (x, y), radius, 255, -1)
    cv2.rectangle(plate, (radius, 0), (broad - 1 - radius, high - 1), 255, -1)
    cv2.rectangle(plate, (0, radius), (broad - 1, high - 1 - radius), 255, -1)
    letters, stroke = np.zeros_like(plate), max(high // 9, 1)

    def line(*points: tuple[float, float]) -> None:
        places = np.array([[round(x * high), round(y * high)] for x, y in points], np.int32)
        cv2.polylines(letters, [places], False, 255, stroke)

    middle = WIDTH / 2 - 0.13
    line((middle - 0.28, 0.77), (middle, 0.23), (middle + 0.28, 0.77))
    line((middle - 0.17, 0.58), (middle + 0.17, 0.58))
    line((middle + 0.5, 0.23), (middle + 0.5, 0.77))
    small = [cv2.resize(shape, (wide, tall), interpolation=cv2.INTER_AREA) for shape in (plate, letters)]
    covered = [np.asarray(shape[:, :, None] / 255, np.float32) for shape in small]
    return covered[0] * np.float32(OPACITY), covered[1]
