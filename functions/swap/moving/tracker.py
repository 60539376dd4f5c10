"""The pass over a moving meme that follows its faces: one look a frame, links by optical flow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.candidates import OVERLAP, measure_overlap
from functions.swap.moving.appearance import Appearance, Glimpse, glimpse_face, hidden_share, inner_cells
from functions.swap.moving.cuts import CutDetector
from functions.swap.moving.flow import NO_MOTION, Motion, measure_motion
from functions.swap.moving.frame_history import FrameHistory
from functions.swap.moving.matching import match_faces
from functions.swap.moving.partial_view import FrameStep, follow_part
from functions.swap.moving.recall import begin_anew, recall
from functions.swap.moving.segment import COVERED, Segment, Sighting, move
from functions.swap.moving.store import PatchStore
from functions.swap.values import Box, Face, Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels

GAP = 0.5  # seconds without a detection that a segment bridges
LEAST_SHARE = 0.5  # of the corners, which must move alike for flow to count
ASTRAY = 0.12  # of the face's side, by which flow leads elsewhere than to the detected face: it follows something else
LEAST_DETECTIONS = 3  # of a face that did not fill its shot: fewer are a mistake of the detector's
SHORT_SHOT = 6  # frames: in a shorter shot, every face counts
HIDDEN = 0.4  # the share of a face that differs, from which flow follows what hides it
# Where flow loses a face that is detected nearby: the share of it that differs, from which it is somebody else's.
LOST_SHARE, REPLACED = 0.3, 0.05
NEAR = 0.02  # overlap of two boxes, from which one face may be passing before the other


class _Step(NamedTuple):
    """A segment's next frame, before it is certain that all looks are done."""

    face: Face  # where flow or the detector saw it; its score is 0 where the detector did not
    motion: Motion
    differs: NDArray[np.bool_]  # Appearance.compare
    glimpse: Glimpse
    is_part: bool = False  # of which only a part is seen, and something covers the rest

    @property
    def is_hidden(self) -> bool:
        """Whether nothing of the face is seen."""
        return hidden_share(self.differs) >= 1


class FaceFinder(Protocol):
    """functions.swap.face.detect.Detector."""

    def find(self, pixels: Pixels, deadline: Deadline) -> list[Face]:
        """The faces of a frame in all looks."""
        ...

    def find_again(self, pixels: Pixels, expected: Sequence[Face], deadline: Deadline) -> list[Face]:
        """The faces of a frame in one look."""
        ...


class Tracker:
    """Follows all faces of a moving meme, frame by frame; holds the last few."""

    def __init__(self, detector: FaceFinder, store: PatchStore, deadline: Deadline) -> None:
        """`store` gets the patch of each face in each frame."""
        self._detector = detector
        self._store = store
        self._deadline = deadline
        self._cuts = CutDetector()
        self._grey: Pixels | None = None  # the frame before
        self._history = FrameHistory()  # of this shot
        self._live: list[Segment] = []
        self._ended: list[Segment] = []
        self._refused: list[tuple[float, Face]] = []  # what all looks did not confirm, and when
        self._number = -1
        self._shot = 0  # the number of the first frame of this shot

    def add(self, pixels: Pixels, seconds: float) -> None:
        """Follow the faces into the next distinct frame, uint8 BGR [H, W, 3], shown at `seconds`. Raises OutOfTime."""
        self._number += 1
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
        if self._cuts.is_cut(grey) or self._grey is None:
            self._end(self._live, at_cut=True)
            self._history.clear()
            self._shot = self._number
            begun = [(face, True) for face in self._detector.find(pixels, self._deadline)]
        else:
            begun = self._follow(pixels, grey, seconds)
        self._grey = grey
        self._history.add(self._number, pixels)
        self._recall()
        self._live += [self._begin(face, pixels, seconds, starts_shot) for face, starts_shot in begun]
        self._end([segment for segment in self._live if seconds - segment.last_seen > GAP])

    def finish(self) -> list[Segment]:
        """All faces, as segments with steady keypoints, by their first frames."""
        self._end(self._live, at_cut=True)
        for segment in self._ended:
            segment.solve()
        return sorted(self._ended, key=lambda segment: segment.sightings[0].number)

    def _follow(self, pixels: Pixels, grey: Pixels, seconds: float) -> list[tuple[Face, bool]]:
        """Continue all segments into a frame. Returns the faces that belong to none.

        With each, whether it has taken the place of another all at once, as if there was a cut.
        """
        expected = [segment.expect() for segment in self._live]
        faces = self._detector.find_again(pixels, expected, self._deadline)
        steps, strangers = self._link(pixels, grey, faces)
        self._refused = [(since, face) for since, face in self._refused if seconds - since <= GAP]
        strangers = [face for face in strangers if not _overlaps(face, [other for _, other in self._refused])]
        if strangers or self._is_one_lost(steps):
            faces = self._detector.find(pixels, self._deadline)
            self._refused += [(seconds, face) for face in strangers if not _overlaps(face, faces)]
            steps, strangers = self._link(pixels, grey, faces)
        pairs = list(zip(self._live, steps, strict=True))
        replaced = [segment for segment, step in pairs if self._is_replaced(segment, step, strangers)]
        for segment, step in pairs:
            if segment not in replaced:
                self._add(segment, step)
            if step.face.score:
                segment.last_seen = seconds
        places = [segment.last.face for segment in replaced]
        self._end(replaced, at_cut=True)
        return [(face, _overlaps(face, places)) for face in strangers]

    def _link(self, pixels: Pixels, grey: Pixels, faces: list[Face]) -> tuple[list[_Step], list[Face]]:
        """Where each segment is in a frame, and the faces that belong to none.

        What is detected where a face is being covered is what is left of it, and no other face.
        """
        glimpses = [glimpse_face(pixels, face.keypoints) for face in faces]
        matches = match_faces(self._live, faces, glimpses)
        steps, free = [], set(range(len(faces)))
        for at, segment in enumerate(self._live):
            step = None
            if at in matches:
                step = self._sight(segment, faces[matches[at]], glimpses[matches[at]], grey)
                free -= {matches[at]} if step else set()
            steps.append(step or self._lead(segment, pixels, grey))
        for at, step in enumerate(steps):
            if step.face.score or step.is_hidden:
                continue
            there = {number for number in free if _overlaps(faces[number], [step.face])}
            others = [other.face for other in steps if other is not step and other.face.score]
            if _overlaps(step.face, others) or (there and not step.is_part):
                steps[at] = self._hide(self._live[at], pixels)
            else:
                free -= there
        covered = [segment.expect() for segment in self._live if segment.last.hidden >= COVERED]
        return steps, [faces[number] for number in sorted(free) if not _overlaps(faces[number], covered)]

    def _sight(self, segment: Segment, face: Face, glimpse: Glimpse, grey: Pixels) -> _Step | None:
        """A segment's face where it is detected; None if somebody else's face has taken its place.

        Of a face that is half covered, the other half still moves as before.
        """
        shift = np.asarray(face.keypoints.mean(0) - segment.last.keypoints.mean(0), np.float32)
        differs = segment.appearance.compare(glimpse.cells)
        motion = self._measure_motion(segment, grey, shift, differs)
        if motion.share < LOST_SHARE and hidden_share(differs) > REPLACED and segment.last.score:
            return None
        astray = np.linalg.norm(motion.move(segment.last.keypoints).mean(0) - face.keypoints.mean(0))
        if motion.share < LOST_SHARE or astray > ASTRAY * face.area**0.5:
            motion = NO_MOTION
        return _Step(face, motion, differs, glimpse)

    def _lead(self, segment: Segment, pixels: Pixels, grey: Pixels) -> _Step:
        """A segment's face where optical flow leads; hidden if it leads nowhere."""
        motion = self._measure_motion(segment, grey, segment.shift())
        if motion.share >= LEAST_SHARE:
            keypoints = motion.move(segment.last.keypoints)
            middle = np.asarray(keypoints.mean(0) - segment.last.keypoints.mean(0), np.float32)
            face = replace(move(segment.last.face, middle), keypoints=keypoints, score=0.0)
            glimpse = glimpse_face(pixels, keypoints)
            differs = segment.appearance.compare(glimpse.cells)
            if hidden_share(differs) < HIDDEN:
                return _Step(face, motion, differs, glimpse)
        return self._lead_part(segment, pixels, grey)

    def _lead_part(self, segment: Segment, pixels: Pixels, grey: Pixels) -> _Step:
        """A segment's face where a part of it is left."""
        last = segment.last
        if self._grey is not None and last.hidden < 1:
            step = FrameStep(self._grey, grey, pixels)
            view = follow_part(step, last.keypoints, last.differs, segment.shift(), segment.appearance)
            if view is not None:
                shift = np.asarray(view.keypoints.mean(0) - last.keypoints.mean(0), np.float32)
                face = replace(move(last.face, shift), keypoints=view.keypoints, score=0.0)
                return _Step(face, view.motion, view.differs, view.glimpse, view.is_covered)
        return self._hide(segment, pixels)

    def _hide(self, segment: Segment, pixels: Pixels) -> _Step:
        """A segment's face where nothing of it is seen, and it may be."""
        face = replace(segment.expect(), score=0.0)
        return _Step(face, NO_MOTION, inner_cells(), glimpse_face(pixels, face.keypoints))

    def _measure_motion(
        self, segment: Segment, grey: Pixels, shift: Floats, differs: NDArray[np.bool_] | None = None
    ) -> Motion:
        """How what was and is seen of a face moved into this frame; `differs`: where it is not seen any longer."""
        last = segment.last
        if self._grey is None or last.hidden >= 1:
            return NO_MOTION
        unclear = last.differs if differs is None else last.differs | differs
        return measure_motion(self._grey, grey, last.keypoints, shift, ~unclear)

    def _is_one_lost(self, steps: list[_Step]) -> bool:
        """Whether a face that was there in the last frame is neither detected nor led by flow."""
        return any(step.is_hidden and segment.last.hidden < 1 for segment, step in zip(self._live, steps, strict=True))

    def _is_replaced(self, segment: Segment, step: _Step, strangers: Sequence[Face]) -> bool:
        """Whether somebody else's face is all at once where a segment's was, with nothing that passes before it."""
        face, others = segment.last.face, [other.last.face for other in self._live if other is not segment]
        is_gone = step.is_hidden and segment.last.hidden < COVERED
        return is_gone and _overlaps(face, strangers) and not _overlaps(face, others, NEAR)

    def _begin(self, face: Face, pixels: Pixels, seconds: float, starts_shot: bool) -> Segment:
        glimpse = glimpse_face(pixels, face.keypoints)
        segment = Segment(Appearance(glimpse.cells), starts_shot=starts_shot, last_seen=seconds)
        self._add(segment, _Step(face, NO_MOTION, np.zeros_like(inner_cells()), glimpse))
        return segment

    def _add(self, segment: Segment, step: _Step) -> None:
        """Continue a segment into this frame, and keep what will be its crop."""
        face, glimpse = step.face, step.glimpse
        patch = None if step.is_hidden or glimpse.patch is None else self._store.add(glimpse.patch)
        sighting = Sighting(self._number, face.keypoints, face.box, face.score, step.motion, patch, step.differs)
        segment.add(sighting, glimpse.cells)

    def _recall(self) -> None:
        """Follow back the faces that have just come out from behind something."""
        for segment in self._live:
            sightings = segment.sightings
            if len(sightings) < 2 or not segment.last.score:
                continue
            if sightings[-2].hidden >= 1:
                recall(segment, len(sightings) - 1, self._history, self._store, self._is_taken)
            elif not segment.starts_shot and len(sightings) == segment.detections == LEAST_DETECTIONS:
                begin_anew(segment, self._store)
                recall(segment, 0, self._history, self._store, self._is_taken)

    def _is_taken(self, number: int, box: Box) -> bool:
        """Whether a face is seen in a frame in that place."""
        seen = [
            sighting.face
            for segment in (*self._live, *self._ended)
            for sighting in segment.sightings[::-1]
            if sighting.number == number and sighting.hidden < 1
        ]
        return _overlaps(Face(0, box, np.zeros((5, 2), np.float32), 0.0), seen)

    def _end(self, segments: list[Segment], at_cut: bool = False) -> None:
        """End segments, and forget those that were hardly ever detected."""
        for segment in list(segments):
            self._live.remove(segment)
            segment.ends_shot = at_cut and segment.last.patch is not None
            if not segment.ends_shot:
                segment.trim()
            fills_shot = segment.starts_shot and segment.ends_shot
            is_short = self._number - self._shot < SHORT_SHOT
            if fills_shot or is_short or segment.detections >= LEAST_DETECTIONS:
                self._ended.append(segment)


def _overlaps(face: Face, others: Sequence[Face], least: float = OVERLAP) -> bool:
    """Whether the box of a face overlaps that of one of the others, by more than `least` of both."""
    boxes = np.array([other.box for other in others], np.float32).reshape(-1, 4)
    return bool((measure_overlap(np.array(face.box, np.float32), boxes) > least).any())
