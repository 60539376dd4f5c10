"""Looks: a picture shrunk, turned, tilted or cropped for the detector, each with the way back to the picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.values import Floats
from layers.media.picture import Pixels

Matrix = NDArray[np.float64]  # [2, 3]

PLAN = "2026-12"  # changes with the looks, as latents in the cache know by which of them their faces were found

STRIDE = 32  # pixels; the detector takes pictures whose sides are multiples of it
MIN_SIDE = 8  # pixels of the shorter side as the detector sees it; no face fits into less

# Sides of squares, over that of the upright look, whose areas the other looks have.
CLOSE_UP = 3 / 8  # of 512 pixels 192: the detector sees no face of more than about 440
FINE = 2.0
QUARTER_TURN = 5 / 8
TILT = 1 / 2

TILTS = (45, 135, 225, 315)  # degrees
TILT_CANVAS = 2.0  # the area that a tilted square covers, over its own: longer pictures are shrunk to fit into it

CROP_SIDE = 192  # pixels of a second look
CROP_FACTOR = 2.0  # its side over the longer side of the face's box


@dataclass(frozen=True)
class View:
    """A look's pixels, uint8 BGR [H, W, 3], and the affine transform from them to the picture's.

    The middle of the first pixel is at (0, 0), as OpenCV's warps have it.
    """

    pixels: Pixels
    to_picture: Matrix

    @property
    def is_upright(self) -> bool:
        """Whether it is as upright as the picture."""
        return not self.to_picture[0, 1] and bool(self.to_picture[0, 0] > 0)

    def map_points(self, points: NDArray[np.floating[Any]]) -> Floats:
        """Points [..., 2] of the look in the picture."""
        return np.asarray(points @ self.to_picture[:, :2].T + self.to_picture[:, 2], np.float32)

    def map_boxes(self, boxes: Floats) -> Floats:
        """Boxes [N, 4] (x0, y0, x1, y1) of the look in the picture.

        After a turn other than by quarters, they are squares of the same area: what surrounds a turned box is up to
        twice as large as a face.
        """
        linear = np.abs(self.to_picture[:, :2])
        middles = self.map_points((boxes[:, :2] + boxes[:, 2:]) / 2)
        halves = (boxes[:, 2:] - boxes[:, :2]) / 2
        if np.count_nonzero(linear > 1e-6 * linear.max()) == 2:
            halves = halves @ linear.T
        else:
            scale = math.sqrt(abs(np.linalg.det(self.to_picture[:, :2])))
            halves = np.repeat(np.sqrt(halves.prod(1, keepdims=True)) * scale, 2, 1)
        return np.concatenate([middles - halves, middles + halves], 1).astype(np.float32)


class Pyramid:
    """A picture at the scales of all looks: shrunk once to the finest of them, and from there to the others."""

    def __init__(self, pixels: Pixels, size: int) -> None:
        """`pixels`: uint8 BGR [H, W, 3]; `size`: side in pixels of the square whose area the upright look has."""
        self._size = size
        self.levels = [View(pixels, np.eye(2, 3))]  # from the finest to the coarsest
        if pixels.shape[0] * pixels.shape[1] > (size * FINE) ** 2:
            self.levels.append(resize(self.levels[-1], size * FINE))
        self.levels.append(resize(self.levels[-1], size))

    @property
    def finest_scale(self) -> float:
        """Pixels of the finest look for a pixel of the picture; at most 1."""
        finest = self.levels[1]
        return min(1.0, 1 / math.sqrt(abs(np.linalg.det(finest.to_picture[:, :2]))))

    @property
    def upright_scale(self) -> float:
        """Pixels of the upright look for a pixel of the picture."""
        return 1 / math.sqrt(abs(np.linalg.det(self.levels[-1].to_picture[:, :2])))

    @property
    def tilt_share(self) -> float:
        """The side of a tilted square over that of the upright look's."""
        height, width = self.levels[-1].pixels.shape[:2]
        canvas = (height + width) ** 2 / 2 / (height * width)
        return TILT * min(1.0, math.sqrt(TILT_CANVAS / canvas))

    def views(self) -> Iterator[View]:
        """Make one look after the other."""
        yield from self.upright_views()
        yield from self.finer_views()
        yield from self.turned_views()

    def upright_views(self) -> Iterator[View]:
        """Make the upright look, and the small one."""
        yield self.levels[-1]
        yield resize(self._resize(QUARTER_TURN), self._size * CLOSE_UP)

    def finer_views(self) -> Iterator[View]:
        """Make the finer look, where the picture has more pixels than the upright one."""
        yield from self.levels[1:-1]

    def turned_views(self, share: float = 1.0) -> Iterator[View]:
        """Make the turned and tilted looks, their sides shrunk to that share of what they are."""
        small = self._resize(QUARTER_TURN * share)
        yield from (turn(small, quarters) for quarters in (1, 2, 3))
        smaller = self._resize(self.tilt_share * share)
        yield from (tilt(smaller, degrees) for degrees in TILTS)

    def _resize(self, share: float) -> View:
        """The upright look shrunk to that share of its side."""
        return resize(self.levels[-1], self._size * share)


def is_sliver(height: int, width: int, size: int) -> bool:
    """Whether a picture of that size is too thin to show a face in a look of the area of a square of `size` pixels."""
    return size * math.sqrt(min(height, width) / max(height, width)) < MIN_SIDE


def resize(view: View, side: float) -> View:
    """A look in its own shape with the area of a square of `side` pixels; each axis has its own scale.

    Whole blocks of pixels are averaged first, which takes a third of the time of INTER_AREA; the pixels at the right
    and lower edge that fill no block are left out. A linear kernel does the rest, less than a halving.
    """
    height, width = view.pixels.shape[:2]
    scale = side / math.sqrt(height * width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    pixels, block = view.pixels, max(min(int(1 / scale + 1e-6), height, width), 1)
    if block > 1:
        columns, rows = width // block, height // block
        blocks = pixels[: rows * block, : columns * block]
        pixels = np.asarray(cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    across, down = (block * pixels.shape[1 - axis] / size[axis] for axis in (0, 1))
    if size != pixels.shape[1::-1]:
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    back = np.array([[across, 0, (across - 1) / 2], [0, down, (down - 1) / 2]])
    return View(pixels, compose(view.to_picture, back))


def turn(view: View, quarters: int) -> View:
    """A look turned clockwise by one, two or three quarters."""
    height, width = view.pixels.shape[:2]
    code, back = {
        1: (cv2.ROTATE_90_CLOCKWISE, [[0, 1, 0], [-1, 0, height - 1]]),
        2: (cv2.ROTATE_180, [[-1, 0, width - 1], [0, -1, height - 1]]),
        3: (cv2.ROTATE_90_COUNTERCLOCKWISE, [[0, -1, width - 1], [1, 0, 0]]),
    }[quarters]
    return View(np.asarray(cv2.rotate(view.pixels, code), np.uint8), compose(view.to_picture, np.array(back, float)))


def tilt(view: View, degrees: float) -> View:
    """A look turned anticlockwise by an angle, on a black ground that is just large enough."""
    height, width = view.pixels.shape[:2]
    forward = _rotation(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    cosine, sine = abs(forward[0, 0]), abs(forward[0, 1])
    size = math.ceil(height * sine + width * cosine), math.ceil(height * cosine + width * sine)
    forward[:, 2] += ((size[0] - width) / 2, (size[1] - height) / 2)
    pixels = np.asarray(cv2.warpAffine(view.pixels, forward, size), np.uint8)
    return View(pixels, compose(view.to_picture, invert(forward)))


def crop_upright(levels: Sequence[View], box: Floats, keypoints: Floats) -> View:
    """A second look at a face: CROP_SIDE pixels with CROP_FACTOR times its box [4], upright by its keypoints [5, 2].

    It is taken from the coarsest of `levels`, which go from the finest to the coarsest, that has enough pixels.
    """
    middle = (box[:2] + box[2:]) / 2
    scale = CROP_SIDE / (CROP_FACTOR * float((box[2:] - box[:2]).max()))
    forward = _rotation((float(middle[0]), float(middle[1])), measure_roll(keypoints), scale)
    forward[:, 2] += (CROP_SIDE - 1) / 2 - middle
    for view in reversed(levels):
        to_crop = compose(forward, view.to_picture)
        if math.sqrt(abs(np.linalg.det(to_crop[:, :2]))) <= 1:
            break
    pixels = _warp(view.pixels, to_crop)
    return View(pixels, invert(forward))


def _warp(pixels: Pixels, forward: Matrix) -> Pixels:
    """Warp to a crop of CROP_SIDE; where that shrinks by more than two, the part is averaged first."""
    scale = math.sqrt(abs(np.linalg.det(forward[:, :2])))
    if scale < 0.5:
        corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]]) * (CROP_SIDE, CROP_SIDE, 1)
        inside = corners @ invert(forward).T
        height, width = pixels.shape[:2]
        x0, y0 = (int(value) for value in np.clip(np.floor(inside.min(0)) - 2, 0, (width - 1, height - 1)))
        x1, y1 = (int(value) for value in np.clip(np.ceil(inside.max(0)) + 3, (x0 + 1, y0 + 1), (width, height)))
        part = View(pixels[y0:y1, x0:x1], np.array([[1.0, 0, x0], [0, 1, y0]]))
        averaged = resize(part, 2 * scale * math.sqrt((x1 - x0) * (y1 - y0)))
        pixels, forward = averaged.pixels, compose(forward, averaged.to_picture)
    return np.asarray(cv2.warpAffine(pixels, forward, (CROP_SIDE, CROP_SIDE)), np.uint8)


def pad(pixels: Pixels) -> Pixels:
    """A look with black below and to the right, so that its sides are multiples of STRIDE."""
    height, width = pixels.shape[:2]
    padded = np.zeros((-(-height // STRIDE) * STRIDE, -(-width // STRIDE) * STRIDE, 3), np.uint8)
    padded[:height, :width] = pixels
    return padded


def measure_roll(keypoints: Floats) -> float:
    """The angle in degrees, -180 to 180, by which a face with these keypoints [5, 2] is turned clockwise.

    It is the mean direction of the line between the eyes and of the line from the mouth to the eyes.
    """
    points = keypoints.astype(np.float64) @ (1, 1j)
    across, down = points[1] - points[0], (points[3] + points[4] - points[0] - points[1]) / 2
    return float(np.degrees(np.angle(across - 1j * down)))


def _rotation(middle: tuple[float, float], degrees: float, scale: float) -> Matrix:
    """The transform that turns anticlockwise around a point and scales."""
    return np.asarray(cv2.getRotationMatrix2D(middle, degrees, scale), np.float64)


def compose(second: Matrix, first: Matrix) -> Matrix:
    """The affine transform that applies `first`, then `second`."""
    return np.asarray(second @ np.concatenate([first, [[0, 0, 1]]]), np.float64)


def invert(affine: Matrix) -> Matrix:
    """The inverse transform."""
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)
