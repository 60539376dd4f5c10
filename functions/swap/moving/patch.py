"""Patches: the part of a frame around a face, shrunk by whole pixels where the face is large.

An aligned crop of a large face would skip most pixels of the frame, and glitter as the face moves: of a patch, it sees
the mean of each block.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, crop_with, invert
from layers.media.picture import Pixels

CROP_REACH = (
    1.25  # the part that the patch of a crop shows, over the aligned crop's: keypoints move when they are solved
)


class Patch(NamedTuple):
    """A part of a frame."""

    pixels: Pixels  # uint8, [H, W] or BGR [H, W, 3]
    x: int  # where it begins in the frame, in pixels
    y: int
    pitch: float  # pixels of the frame for one of the patch

    def map_points(self, points: NDArray[Any]) -> NDArray[np.float32]:
        """Points [..., 2] of the frame in the patch."""
        return np.asarray((points - (self.x, self.y) + 0.5) / self.pitch - 0.5, np.float32)

    def map_back(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Points [..., 2] of the patch in the frame."""
        return np.asarray((points + 0.5) * self.pitch - 0.5 + (self.x, self.y), np.float64)

    def map_transform(self, forward: Matrix) -> Matrix:
        """The transform from the patch, for one from the frame."""
        start = self.map_back(np.zeros(2))
        shift = forward[:, 2:] + forward[:, :2] @ start[:, None]
        return np.asarray(np.hstack([forward[:, :2] * self.pitch, shift]), np.float64)

    def crop(self, forward: Matrix, size: int = SWAPPER_SIZE) -> Pixels:
        """The crop, uint8 BGR [size, size, 3], to which a transform of the frame maps it; mirrored at the frame."""
        return crop_with(self.pixels, self.map_transform(forward), size, mirror_border=True)


def cut_patch(frame: Pixels, forward: Matrix, reach: float, side: float, *, pad: bool = False) -> Patch | None:
    """The patch around an aligned crop, to which `forward` maps the frame; None if it is outside.

    It is `reach` times as wide as the crop. The crop has about `side` pixels in it at least, if the frame has as many.
    What is outside the frame is left out, or with `pad` repeats the frame's edge: then patches of one size and turn
    have one shape.
    """
    inverse = invert(forward)
    middle = inverse @ ((SWAPPER_SIZE - 1) / 2, (SWAPPER_SIZE - 1) / 2, 1)
    scale = math.hypot(inverse[0, 0], inverse[1, 0])
    block = max(int(scale * SWAPPER_SIZE / side), 1)
    wide = reach * SWAPPER_SIZE * (abs(inverse[0, 0]) + abs(inverse[0, 1]))
    blocks = math.ceil(wide / block - 0.01)
    left, top = (round(float(value) - blocks * block / 2) for value in middle)
    height, width = frame.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + blocks * block, width), min(top + blocks * block, height)
    if x1 - x0 < block or y1 - y0 < block:
        return None
    part = frame[y0:y1, x0:x1]
    if pad:
        edges = (y0 - top, top + blocks * block - y1, x0 - left, left + blocks * block - x1)
        part = np.asarray(cv2.copyMakeBorder(part, *edges, cv2.BORDER_REPLICATE), np.uint8)
        x0, y0 = left, top
    if block > 1:
        columns, rows = part.shape[1] // block, part.shape[0] // block
        whole = part[: rows * block, : columns * block]
        part = np.asarray(cv2.resize(whole, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    return Patch(part, x0, y0, float(block))


def enlarge(patch: Patch, factor: int) -> Patch:
    """The same patch with so many times as many pixels across."""
    pixels = cv2.resize(patch.pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC)
    return Patch(np.asarray(pixels, np.uint8), patch.x, patch.y, patch.pitch / factor)


def crop_frame(frame: Pixels, forward: Matrix) -> tuple[Pixels, Patch | None]:
    """The aligned crop of a frame, uint8 BGR [128, 128, 3], and its patch; black and None outside the frame."""
    patch = cut_patch(frame, forward, CROP_REACH, SWAPPER_SIZE) if forward[:, :2].any() else None
    if patch is None:
        return np.zeros((SWAPPER_SIZE, SWAPPER_SIZE, 3), np.uint8), None
    return patch.crop(forward), patch
