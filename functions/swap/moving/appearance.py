"""How a face looks along its track, in few pixels: what suddenly differs hides it, or is somebody else."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix
from functions.swap.moving.cells import oval_cells
from functions.swap.moving.patch import Patch, crop_frame
from functions.swap.values import Floats
from layers.media.picture import Pixels

SIDE = 32  # cells across the aligned crop
DIFFERENT = 28.0  # levels by which a hidden cell is outside what the face has around it
REACH = 3  # cells: the square in which a face's own colours may move about
LIGHT = 24.0  # levels by which all of a face may be lighter or darker than it was
ALIKE = 0.7  # correlation of the features, from which it may differ by more
PATTERN = 10.0  # levels by which a part varies that tells whose it is
ALIKE_LEVELS = 24.0  # by which a cell of such a part is off at most
OVAL_SHARE = 0.8  # of the face's oval, that is compared
LEARN_CLEAR, LEARN_HIDDEN = 0.2, 0.05  # by which a frame changes what is expected, where it looks as such and where not


def shrink(crop: Pixels) -> Floats:
    """A crop, uint8 BGR [128, 128, 3], as float32 [32, 32, 3]."""
    return np.asarray(cv2.resize(crop, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


class Glimpse(NamedTuple):
    """A face in a frame, before it is known whose it is."""

    patch: Patch | None  # None outside the frame
    cells: Floats  # the aligned crop, shrunk: float32 [32, 32, 3]


def glimpse_face(frame: Pixels, keypoints: Floats) -> Glimpse:
    """What a frame, uint8 BGR [H, W, 3], shows of a face with these keypoints [5, 2]."""
    crop, patch = crop_frame(frame, alignment_matrix(keypoints, SWAPPER_SIZE))
    return Glimpse(patch, shrink(crop))


class Appearance:
    """What a face is expected to look like."""

    def __init__(self, cells: Floats) -> None:
        """`cells`: `shrink`, for a frame in which nothing hides the face."""
        self._mean = cells.copy()

    def compare(self, cells: Floats) -> NDArray[np.bool_]:
        """Which cells of a crop, shrunk, look otherwise, bool [32, 32]; only ones in the oval.

        The light may have changed a little, or more if the features are still where they were.
        """
        light = np.median((cells - self._mean)[inner_cells()], 0)
        if np.abs(light).max() > LIGHT and self._correlate(cells) < ALIKE:
            light = np.clip(light, -LIGHT, LIGHT)
        return self._compare(cells - light)

    def find_part(self, cells: Floats) -> NDArray[np.bool_]:
        """Which cells of a crop, shrunk, look just as expected, bool [32, 32]; only ones in the oval.

        Most of the face may be hidden, so that most cells tell nothing of the light. None where those that look so have
        no pattern: plain skin is like plain anything.
        """
        light = np.clip(np.median((cells - self._mean)[inner_cells()], 0), -LIGHT, LIGHT)
        alike = max((self._find_alike(now) for now in (cells, cells - light)), key=np.count_nonzero)
        pattern = float(self._mean.mean(2)[alike].std()) if alike.any() else 0.0
        return alike if pattern >= PATTERN else np.zeros_like(alike)

    def _find_alike(self, now: Floats) -> NDArray[np.bool_]:
        return np.asarray((np.abs(now - self._mean).max(2) < ALIKE_LEVELS) & ~self._compare(now) & inner_cells())

    def _compare(self, now: Floats) -> NDArray[np.bool_]:
        """Which cells differ, the light apart."""
        inside = inner_cells()
        square = np.ones((REACH, REACH), np.uint8)
        above = now - cv2.dilate(self._mean, square)
        below = cv2.erode(self._mean, square) - now
        return np.asarray((np.maximum(above, below).max(2) > DIFFERENT) & inside)

    def _correlate(self, cells: Floats) -> float:
        """The correlation of features, -1 to 1, with cells, float32 [32, 32, 3]."""
        inside = inner_cells()
        ours, theirs = (each.mean(2)[inside] for each in (self._mean, cells))
        ours, theirs = ours - ours.mean(), theirs - theirs.mean()
        return float(ours @ theirs / max(float(np.linalg.norm(ours) * np.linalg.norm(theirs)), 1e-6))

    def learn(self, cells: Floats, hidden: NDArray[np.bool_]) -> None:
        """Take a shrunk crop into account, whose cells are `hidden`, bool [32, 32], or not."""
        rate = np.where(hidden, np.float32(LEARN_HIDDEN), np.float32(LEARN_CLEAR))[:, :, None]
        self._mean += rate * (cells - self._mean)


def hidden_share(hidden: NDArray[np.bool_]) -> float:
    """The share of the face that is hidden, 0 to 1, for bool [32, 32]."""
    inside = inner_cells()
    return np.count_nonzero(hidden & inside) / np.count_nonzero(inside)


def inner_cells() -> NDArray[np.bool_]:
    """The cells of the face's oval that are compared, bool [32, 32]."""
    return oval_cells(SIDE, OVAL_SHARE)
