"""What hides a face, cell by cell: found once its track is steady, so that nothing is pasted over it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.moving.cells import Cells, oval_cells, spread
from functions.swap.moving.part_search import refine_place
from functions.swap.moving.partial_view import HEAD, outside_cells
from functions.swap.moving.segment import Segment, Sighting, move
from functions.swap.moving.store import PatchStore
from functions.swap.moving.values import COVER_SIDE as SIDE
from functions.swap.values import Floats
from layers.media.picture import Pixels

OVAL_SHARE = 0.9  # of the face's oval in which cells are compared; beyond it, each is like the nearest in it
RIM = 0.78  # radius in the oval: what hides a face comes in from beyond it, an eye or a mouth that moves does not
NOTICED = 0.015  # the share of a face that looks otherwise, from which it is looked at closely
MOSTLY_CLEAR = 0.25  # of the face, up to which the rest shows what it looks like
MORE, BEYOND = 1.2, 0.05  # by how much more may be hidden than the tracker saw, which learns meanwhile
SAME = 0.6  # of both covers: that of a frame was there in the next
REFERENCES = 6  # clear frames that show what a face looks like
SURE, UNSURE = 26.0, 14.0  # levels by which a cell is outside of that: enough alone, and beside one that is sure
LEAST = 0.01  # of the face: smaller spots are noise
SMOOTH = 21  # cells, an odd number: the edge of what hides a face has no finer bays
LARGE = 0.12  # of the face: what covers so much of its rim may cover features alone
LEAST_SHOWN = 0.006  # of the cells: less, in one piece, is a hole
LIGHT = 24.0  # levels by which the light changes at most
_BRUSH = np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5)), np.uint8)  # as wide as a brow


def find_covers(segment: Segment, store: PatchStore, width: int, height: int) -> list[Sighting]:
    """The sightings of a steady segment, with what hides the face in each, for frames of that size.

    From a frame in which nothing does, it is followed both ways: a head that turns looks otherwise too, but little by
    little, and what comes before it does at once.
    """
    sightings = segment.sightings
    outside = [
        outside_cells(each.forward, width, height, SIDE) if each.patch is not None else ~face_cells()
        for each in sightings
    ]
    noticed = [
        each.patch is not None and (each.score <= 0 or each.hidden >= NOTICED or bool(beyond[face_cells()].any()))
        for each, beyond in zip(sightings, outside, strict=True)
    ]
    clear = [at for at, each in enumerate(sightings) if each.patch is not None and each.score > 0]
    if not any(noticed) or not clear:
        return sightings
    start = min(clear, key=lambda at: (sightings[at].hidden + float(outside[at][face_cells()].mean()), at))
    face = _Face(sightings, outside, store)
    for order in (range(start, len(sightings)), range(start - 1, -1, -1)):
        for at in order:
            if sightings[at].patch is not None:
                face.compare(at, at + (1 if order.step < 0 else -1))
    return _drop_blips(face.sightings)


def cover_share(cover: Cells | None) -> float:
    """The share of a face that is hidden, 0 to 1."""
    return 0.0 if cover is None else float(cover[face_cells()].mean())


class _Face:
    """What one segment's face looks like where nothing hides it."""

    def __init__(self, sightings: Sequence[Sighting], outside: Sequence[Cells], store: PatchStore) -> None:
        self.sightings = list(sightings)
        self._outside, self._store = outside, store
        self._models: dict[int, tuple[Floats, Cells]] = {}  # cells, and what hides some, of frames that show the face

    def compare(self, at: int, neighbour: int) -> None:
        """Find what hides the face in a sighting, of which the neighbour has been looked at already."""
        cells, outside = self._look(at), self._outside[at]
        if not self._models:
            self._settle(at, cells, outside & face_cells(), 0.0, None)
            return
        nearest = sorted(self._models, key=lambda other: abs(other - at))[:REFERENCES]
        cover, unclear = self._find(cells, outside, nearest)
        if self.sightings[at].score <= 0 and cover_share(cover) >= LARGE:
            self._align(at, cover, nearest[0])
            cells = self._look(at)
            cover, unclear = self._find(cells, outside, nearest)
        before = self.sightings[neighbour].cover
        if cover.any() and not self._is_likely(at, cover & ~outside, before):
            cover, unclear = outside & face_cells(), self.sightings[at].hidden
        self._settle(at, cells, cover, unclear, nearest[0])

    def _find(self, cells: Floats, outside: Cells, nearest: list[int]) -> tuple[Cells, float]:
        """What hides the face, and the share of it that differs beside that."""
        low, high = _bound([self._models[other] for other in nearest])
        tries = [_exceed(cells - light, low, high) for light in _lights(cells, low, high)]
        excess = min(tries, key=lambda each: np.count_nonzero(each[face_cells()] > UNSURE))
        excess[outside] = SURE + 1
        cover = _clean(_grow(np.where(face_cells(), excess, 0)))
        unclear = float(((excess > SURE) & ~cover)[face_cells()].mean())
        return _grow_beyond(cover, excess), unclear

    def _is_likely(self, at: int, cover: Cells, before: Cells | None) -> bool:
        """Whether the tracker saw so much hidden too, or it was there in the neighbour."""
        share = cover_share(cover)
        if share <= MORE * self.sightings[at].hidden + BEYOND:
            return True
        both = 0.0 if before is None else cover_share(before & cover)
        return before is not None and both > SAME * (cover_share(before) + share - both)

    def _settle(self, at: int, cells: Floats, cover: Cells, unclear: float, model: int | None) -> None:
        hides = cover if cover.any() else None
        self.sightings[at] = replace(self.sightings[at], cover=hides, unclear=unclear, model=model)
        if self.sightings[at].score > 0 and cover_share(hides) <= MOSTLY_CLEAR:
            self._models[at] = cells, cover

    def _align(self, at: int, cover: Cells, model: int) -> None:
        """Move a sighting that no detector saw to where what is left of the face is as in a clear one."""
        sighting, forward = self.sightings[at], self.sightings[at].forward
        shown = cv2.dilate((~cover & oval_cells(SIDE, HEAD)).astype(np.uint8), np.ones((5, 5), np.uint8))
        mask = cv2.resize(shown, (SWAPPER_SIZE, SWAPPER_SIZE), interpolation=cv2.INTER_NEAREST) > 0
        now, then = (cv2.cvtColor(self._cut(place), cv2.COLOR_BGR2GRAY) for place in (at, model))
        place = refine_place(np.asarray(then, np.uint8), np.asarray(now, np.uint8), mask, np.zeros(2))
        step = forward[:, :2].T @ place / float(np.hypot(*forward[:, 0])) ** 2
        points = (sighting.keypoints + step).astype(np.float32)
        box = move(sighting.face, np.asarray(step, np.float32)).box
        self.sightings[at] = replace(sighting, keypoints=points, box=box)

    def _cut(self, at: int) -> Pixels:
        """The aligned crop of a sighting, uint8 BGR [128, 128, 3]."""
        patch = self.sightings[at].patch
        assert patch is not None
        return self._store.read(patch).crop(self.sightings[at].forward)

    def _look(self, at: int) -> Floats:
        """The cells of a sighting, float32 [64, 64, 3]."""
        return np.asarray(cv2.resize(self._cut(at), (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _bound(looks: Sequence[tuple[Floats, Cells]]) -> tuple[Floats, Floats]:
    """The darkest and the lightest that a cell or its neighbours have been, float32 [64, 64, 3] each.

    Beyond the face, cells are like the nearest in it here: what is about to hide the face is beside it before.
    """
    square = np.ones((3, 3), np.uint8)
    lows = [np.where(hidden[:, :, None], np.float32(255), cells) for cells, hidden in looks]
    highs = [np.where(hidden[:, :, None], np.float32(0), cells) for cells, hidden in looks]
    low, high = np.min(lows, 0), np.max(highs, 0)
    inside = face_cells()[:, :, None]
    near_low, near_high = spread(low, OVAL_SHARE), spread(high, OVAL_SHARE)
    low = np.where(inside, cv2.erode(near_low, square), cv2.erode(low, square))
    high = np.where(inside, cv2.dilate(near_high, square), cv2.dilate(high, square))
    return np.asarray(low, np.float32), np.asarray(high, np.float32)


def _lights(cells: Floats, low: Floats, high: Floats) -> list[Floats]:
    """How much lighter all may be: not at all, or as most of the face is."""
    inside = face_cells()
    return [np.zeros(3, np.float32), np.clip(np.median((cells - (low + high) / 2)[inside], 0), -LIGHT, LIGHT)]


def _exceed(cells: Floats, low: Floats, high: Floats) -> Floats:
    """By how many levels cells are outside of bounds, float32 [64, 64]."""
    return np.asarray(np.maximum(np.maximum(cells - high, low - cells), 0).max(2), np.float32)


def _grow(excess: Floats) -> Cells:
    """The spots that differ, with their unsure rims, and that reach beyond the face's features.

    Where something large does, it is seen through holes that look like the face by chance, or covers a feature.
    """
    weak = cv2.morphologyEx((excess > UNSURE).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8))
    spots = [spot for spot in _split(weak) if (spot & (excess > SURE)).any()]
    at_rim = [spot for spot in spots if (spot & rim_cells()).any()]
    cover = np.any([np.zeros_like(face_cells()), *at_rim], 0)
    if cover_share(cover) >= LARGE:
        cover = np.any([cover, *spots], 0)
    return np.asarray(cover & face_cells())


def _clean(cover: Cells) -> Cells:
    """The same without small holes."""
    if not cover.any():
        return cover
    shown = face_cells() & ~cover
    wide = cv2.morphologyEx(shown.astype(np.uint8), cv2.MORPH_OPEN, _BRUSH)
    large = np.any(
        [np.zeros_like(cover), *(spot for spot in _split(wide) if spot.sum() >= LEAST_SHOWN * shown.size)], 0
    )
    corners = cv2.dilate(large.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return np.asarray(face_cells() & ~(shown & corners))


def _grow_beyond(cover: Cells, excess: Floats) -> Cells:
    """The same with what continues it beyond the face, where the ground changes too, and is best left alone."""
    if not cover.any():
        return cover
    weak = (excess > UNSURE) & ~face_cells()
    _, labels = cv2.connectedComponents((weak | cover).astype(np.uint8), connectivity=8)
    wide = spread(cover, OVAL_SHARE)
    # What hides a face may look like a brow of it: there, it is seen to reach a little way in.
    smooth = cv2.medianBlur(wide.astype(np.uint8), SMOOTH) > 0
    return np.asarray(wide | smooth | (weak & np.isin(labels, np.unique(labels[cover]))))


def _split(cells: NDArray[Any]) -> list[Cells]:
    """The spots, each alone, that are no noise."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(cells, connectivity=8)
    least = LEAST * face_cells().sum()
    return [labels == label for label in range(1, count) if stats[label, cv2.CC_STAT_AREA] >= least]


def _drop_blips(sightings: list[Sighting]) -> list[Sighting]:
    """The same, where nothing hides a face for one frame only and a little."""
    shares = [cover_share(each.cover) for each in sightings]
    for at in range(1, len(sightings) - 1):
        if 0 < shares[at] < 0.05 and not shares[at - 1] and not shares[at + 1]:
            sightings[at] = replace(sightings[at], cover=None)
    return sightings


def face_cells() -> Cells:
    """The cells that are compared, bool [64, 64]."""
    return oval_cells(SIDE, OVAL_SHARE)


def rim_cells() -> Cells:
    """Those of them beyond the features."""
    return np.asarray(face_cells() & ~oval_cells(SIDE, RIM))
