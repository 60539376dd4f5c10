"""A face of which only a part is seen: where it is, before a detector sees it or after, and which part that is."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, alignment_matrix, invert
from functions.swap.moving.appearance import OVAL_SHARE, SIDE, Appearance, Glimpse, glimpse_face, inner_cells
from functions.swap.moving.cells import oval_cells, spread
from functions.swap.moving.flow import Motion, measure_motion
from functions.swap.moving.part_search import search_part
from functions.swap.values import Floats
from layers.media.picture import Pixels

LEAST_PART = 0.05  # of the face, that must look just as expected: more of it is left then
HEAD = 1.15  # of the face's oval: a jaw's edge, a hairline and ears show where a face goes
RIM = 0.7  # of the face's oval, beyond which no feature is
COVERING = 0.12  # of the face: what covers so much of it makes a detector err
OWN = 0.7  # of the rest, that looks just as expected where the face is the same
LEAST_SHARE = 0.4  # of the corners in a part, which must move alike
MATCHED = 4.0  # stiffness of a step that flow did not measure


class FrameStep(NamedTuple):
    """Two frames that follow one another, in the order of time or against it."""

    before: Pixels  # grey, uint8 [H, W]
    after: Pixels
    pixels: Pixels  # the latter in colour, uint8 BGR [H, W, 3]


class PartialView(NamedTuple):
    """What a frame shows of a face that is mostly hidden."""

    keypoints: Floats
    motion: Motion
    differs: NDArray[np.bool_]  # cells that do not show the face, bool [32, 32]
    glimpse: Glimpse
    alike: NDArray[np.bool_]  # cells that look just as expected

    @property
    def alike_count(self) -> int:
        """How many they are."""
        return int(self.alike.sum())

    @property
    def is_covered(self) -> bool:
        """Whether one thing comes in over the rim of the face, and beside that it is seen: it is nobody else's."""
        gaps = cv2.morphologyEx(
            (inner_cells() & ~self.alike).astype(np.uint8), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8)
        )
        count, labels = cv2.connectedComponents(gaps, connectivity=8)
        rim = inner_cells() & ~oval_cells(SIDE, RIM)
        spots = [labels == label for label in range(1, count)]
        cover = max((spot for spot in spots if (spot & rim).any()), key=np.count_nonzero, default=None)
        if cover is None or cover.sum() < COVERING * inner_cells().sum():
            return False
        rest = inner_cells() & ~cover
        return bool(rest.any() and self.alike[rest].mean() >= OWN)


def follow_part(
    step: FrameStep, keypoints: Floats, hidden: NDArray[np.bool_], shift: Floats, appearance: Appearance
) -> PartialView | None:
    """Follow a face with these keypoints [5, 2] into the next frame, where a part of it may be left; else None.

    `hidden`, bool [32, 32], says what of it was not seen; `shift` [2] is about how far it goes.
    """
    seen = oval_cells(SIDE, HEAD) & ~spread(hidden, OVAL_SHARE)
    where = search_part(step.before, step.after, keypoints, shift, _shrink_cells(seen))
    flow = measure_motion(step.before, step.after, keypoints, shift, ~hidden)
    guesses = [_lead(shift), *([] if where is None else [_lead(where)]), *([flow] if flow.share > LEAST_SHARE else [])]
    views = [_look(step, keypoints, guess, appearance) for guess in guesses]
    best = max(views, key=lambda view: view.alike_count)
    return best if best.alike_count >= LEAST_PART * inner_cells().sum() else None


def outside_cells(forward: Matrix, width: int, height: int, side: int = SIDE) -> NDArray[np.bool_]:
    """The cells of an aligned crop that are outside a frame of that size, bool [side, side]."""
    centres = (np.arange(side) + 0.5) * SWAPPER_SIZE / side - 0.5
    inverse = invert(forward)
    xs, ys = (row[0] * centres[None, :] + row[1] * centres[:, None] + row[2] for row in inverse)
    return np.asarray((xs < 0) | (ys < 0) | (xs > width - 1) | (ys > height - 1))


def _lead(shift: Floats) -> Motion:
    """The motion of a face that goes on."""
    return Motion(1 + 0j, complex(*shift.astype(np.float64)), MATCHED, 0.0)


def _look(step: FrameStep, keypoints: Floats, motion: Motion, appearance: Appearance) -> PartialView:
    """What is seen where that motion leads."""
    points = motion.move(keypoints)
    glimpse = glimpse_face(step.pixels, points)
    height, width = step.pixels.shape[:2]
    if glimpse.patch is None:
        return PartialView(points, motion, inner_cells(), glimpse, ~inner_cells() & inner_cells())
    alike = appearance.find_part(glimpse.cells)
    alike &= ~outside_cells(alignment_matrix(points, SWAPPER_SIZE), width, height)
    near = cv2.dilate(alike.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    differs = inner_cells() & ~(near & ~appearance.compare(glimpse.cells))
    return PartialView(points, motion, differs, glimpse, alike)


def _shrink_cells(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells without those at the rim, which show in part what is beside them."""
    return np.asarray(cv2.erode(cells.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0)
