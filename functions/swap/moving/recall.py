"""The way back: where a face was in the frames before a detector saw it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from functions.swap.moving.appearance import Appearance, shrink
from functions.swap.moving.flow import NO_MOTION, Motion
from functions.swap.moving.frame_history import FrameHistory
from functions.swap.moving.partial_view import FrameStep, PartialView, follow_part
from functions.swap.moving.segment import Segment, Sighting, move
from functions.swap.moving.store import PatchStore
from functions.swap.values import Box, Floats

IsTaken = Callable[[int, Box], bool]  # whether somebody else is seen in that frame, in that place


def begin_anew(segment: Segment, store: PatchStore) -> None:
    """Judge the first sightings by the newest one, which shows a face that comes out from behind something best."""
    newest = segment.last
    if newest.patch is None:
        return
    segment.appearance = Appearance(shrink(store.read(newest.patch).crop(newest.forward)))
    for at, sighting in enumerate(segment.sightings):
        if sighting.patch is not None:
            cells = shrink(store.read(sighting.patch).crop(sighting.forward))
            segment.sightings[at] = replace(sighting, differs=segment.appearance.compare(cells))


def recall(segment: Segment, at: int, history: FrameHistory, store: PatchStore, is_taken: IsTaken) -> None:
    """Follow a face back from the sighting at that place, through frames in which it is hidden, to where it appears."""
    while at == 0 or segment.sightings[at - 1].hidden >= 1:
        sighting = segment.sightings[at]
        view = _look_back(segment, at, history)
        if view is None or view.glimpse.patch is None:
            return
        step = np.asarray(view.keypoints.mean(0) - sighting.keypoints.mean(0), np.float32)
        box = move(sighting.face, step).box
        if is_taken(sighting.number - 1, box):
            return
        patch = store.add(view.glimpse.patch)
        earlier = Sighting(sighting.number - 1, view.keypoints, box, 0.0, NO_MOTION, patch, view.differs)
        segment.sightings[at] = replace(sighting, motion=turn_round(view.motion))
        if at == 0:
            segment.sightings.insert(0, earlier)
        else:
            segment.sightings[at - 1] = earlier
            at -= 1


def turn_round(motion: Motion) -> Motion:
    """The motion from the later frame to the earlier one, as that from the earlier one to the later."""
    turn = 1 / motion.turn
    return Motion(turn, -motion.shift * turn, motion.stiffness, motion.share)


def _look_back(segment: Segment, at: int, history: FrameHistory) -> PartialView | None:
    """What the frame before the sighting at that place shows of the face."""
    sighting = segment.sightings[at]
    now, before = (history.find_grey(number) for number in (sighting.number, sighting.number - 1))
    pixels = history.find(sighting.number - 1)
    if now is None or before is None or pixels is None:
        return None
    step = FrameStep(now, before, pixels)
    return follow_part(step, sighting.keypoints, sighting.differs, _shift_back(segment, at), segment.appearance)


def _shift_back(segment: Segment, at: int) -> Floats:
    """How far it goes from the sighting at that place to the one before, as about then: float32 [2] in pixels."""
    now = segment.sightings[at].keypoints.mean(0)
    if at + 1 < len(segment.sightings):
        return np.asarray(now - segment.sightings[at + 1].keypoints.mean(0), np.float32)
    earlier = next((other for other in range(at - 1, -1, -1) if segment.sightings[other].hidden < 1), None)
    if earlier is None:
        return np.zeros(2, np.float32)
    return np.asarray((segment.sightings[earlier].keypoints.mean(0) - now) / (at - earlier), np.float32)
