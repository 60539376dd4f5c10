"""The visible badge: a small dark plate with the letters AI, in a corner without a face."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from functions.swap.values import Box, Floats
from layers.media.picture import Pixels

HEIGHT = 0.05  # of the plate, as a share of the picture's shorter side
MIN_HEIGHT, MAX_HEIGHT = 14, 120  # pixels; nobody can read smaller letters
WIDTH, MARGIN = 1.6, 0.4  # in heights of the plate
PLATE_LEVEL, LETTER_LEVEL, PLATE_OPACITY = 16.0, 250.0, 0.6  # the letters are opaque
_SUPERSAMPLING = 4  # for smooth edges


def draw_badge(pixels: Pixels, alpha: Pixels | None, faces: Sequence[Box]) -> Box:
    """Draw the badge into a picture, uint8 BGR [H, W, 3], in place; its alpha [H, W] becomes opaque there.

    Returns the badge's box. It is drawn in the first corner without a face: bottom right, bottom left, top right, top
    left; if each has one, in the corner where it covers the least of them.
    """
    height, width = pixels.shape[:2]
    tall = min(max(round(min(height, width) * HEIGHT), MIN_HEIGHT), MAX_HEIGHT, height, int(width / WIDTH))
    wide = int(tall * WIDTH)
    x, y = min(_corners(width, height, wide, tall), key=lambda corner: _overlap(corner, wide, tall, faces))
    plate, letters = _render(tall, wide)
    part = pixels[y : y + tall, x : x + wide].astype(np.float32)
    part += plate * (PLATE_LEVEL - part)
    part += letters * (LETTER_LEVEL - part)
    pixels[y : y + tall, x : x + wide] = np.rint(part)
    if alpha is not None:
        under = alpha[y : y + tall, x : x + wide]
        np.maximum(under, np.rint(255 * np.maximum(plate, letters)[:, :, 0]).astype(np.uint8), out=under)
    return float(x), float(y), float(x + wide), float(y + tall)


def _corners(width: int, height: int, wide: int, tall: int) -> list[tuple[int, int]]:
    """The plate's first pixel in each corner, in the order of preference."""
    across, down = (min(int(tall * MARGIN), spare // 2) for spare in (width - wide, height - tall))
    left, right, top, bottom = across, width - wide - across, down, height - tall - down
    return [(right, bottom), (left, bottom), (right, top), (left, top)]


def _overlap(corner: tuple[int, int], wide: int, tall: int, faces: Sequence[Box]) -> float:
    """How many pixels of faces the plate would cover; `min` takes the first of equal corners."""
    x, y = corner
    return sum(
        max(0.0, min(x1, x + wide) - max(x0, x)) * max(0.0, min(y1, y + tall) - max(y0, y)) for x0, y0, x1, y1 in faces
    )


@lru_cache(maxsize=4)
def _render(tall: int, wide: int) -> tuple[Floats, Floats]:
    """How much of each pixel the plate and the letters cover, float32 [H, W, 1] from 0 to 1."""
    high, broad = tall * _SUPERSAMPLING, wide * _SUPERSAMPLING
    plate = np.zeros((high, broad), np.uint8)
    radius = high // 4
    for x in (radius, broad - 1 - radius):
        for y in (radius, high - 1 - radius):
            cv2.circle(plate, (x, y), radius, 255, -1)
    cv2.rectangle(plate, (radius, 0), (broad - 1 - radius, high - 1), 255, -1)
    cv2.rectangle(plate, (0, radius), (broad - 1, high - 1 - radius), 255, -1)
    letters, stroke = np.zeros_like(plate), max(high // 9, 1)

    def line(*points: tuple[float, float]) -> None:
        vertices = np.array([[round(x * high), round(y * high)] for x, y in points], np.int32)
        cv2.polylines(letters, [vertices], False, 255, stroke)

    middle = WIDTH / 2 - 0.13
    line((middle - 0.28, 0.77), (middle, 0.23), (middle + 0.28, 0.77))
    line((middle - 0.17, 0.58), (middle + 0.17, 0.58))
    line((middle + 0.5, 0.23), (middle + 0.5, 0.77))
    small = [cv2.resize(shape, (wide, tall), interpolation=cv2.INTER_AREA) for shape in (plate, letters)]
    coverage = [np.asarray(shape[:, :, None] / 255, np.float32) for shape in small]
    return coverage[0] * np.float32(PLATE_OPACITY), coverage[1]
