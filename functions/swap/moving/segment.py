"""What is seen of one face while it stays in sight: a stretch of frames, each with what led the face there."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix
from functions.swap.moving.appearance import Appearance, hidden_share
from functions.swap.moving.flow import Motion
from functions.swap.moving.steady import solve_track
from functions.swap.moving.values import FaceInFrame
from functions.swap.values import Box, Face, Floats

COVERED = 0.1  # the share of a face that differs, from which something is passing before it


@dataclass(frozen=True)
class Sighting(FaceInFrame):
    """A face in one frame, before its track is steady: the keypoints are the detector's, or where flow led."""

    motion: Motion  # from the frame before
    patch: int | None  # its number in the PatchStore; None where nothing of the face is seen
    differs: NDArray[np.bool_]  # the cells of the aligned crop where it does not look as before: Appearance.compare
    # Once the track is steady (covers.find_covers), for frames in which something may hide the face:
    cover: NDArray[np.bool_] | None = None  # what does, bool [64, 64]
    unclear: float | None = None  # the share that looks otherwise beside that; None where `hidden` tells all
    model: int | None = None  # the place in the segment of the nearest sighting that nothing hides

    @property
    def hidden(self) -> float:
        """The share of the face that something hides, 0 to 1."""
        return hidden_share(self.differs)


@dataclass(eq=False)
class Segment:
    """A face in consecutive frames, from where it was first detected to where it was last detected."""

    appearance: Appearance
    sightings: list[Sighting] = field(default_factory=list)
    starts_shot: bool = False  # whether it was there from the first frame of its shot
    ends_shot: bool = False
    last_seen: float = 0.0  # when, in seconds, the detector last saw it

    @property
    def last(self) -> Sighting:
        """The newest sighting."""
        return self.sightings[-1]

    @property
    def detections(self) -> int:
        """How often the detector saw it."""
        return sum(sighting.score > 0 for sighting in self.sightings)

    def shift(self) -> Floats:
        """How far it went between the last two frames, float32 [2] in pixels."""
        if len(self.sightings) < 2:
            return np.zeros(2, np.float32)
        before, last = self.sightings[-2:]
        return np.asarray(last.keypoints.mean(0) - before.keypoints.mean(0), np.float32)

    def expect(self) -> Face:
        """Where the face may be in the next frame."""
        return move(self.last.face, self.shift())

    def add(self, sighting: Sighting, cells: Floats) -> None:
        """Continue into the next frame, and learn from its shrunk crop how the face looks there."""
        self.sightings.append(sighting)
        if sighting.hidden < 1:
            self.appearance.learn(cells, sighting.differs)

    def trim(self) -> None:
        """Drop what followed the last detection, unless the face is seen to go behind something."""
        end = max((at + 1 for at, sighting in enumerate(self.sightings) if sighting.score > 0), default=0)
        while end < len(self.sightings) and COVERED <= self.sightings[end].hidden < 1:
            end += 1
        del self.sightings[end:]

    def solve(self) -> None:
        """Make keypoints and boxes steady, over the whole segment at once."""
        seen = np.stack([sighting.keypoints for sighting in self.sightings])
        scores = np.array([sighting.score * (1 - sighting.hidden) ** 2 for sighting in self.sightings])
        turns, shifts, stiffness = (
            np.array([getattr(sighting.motion, name) for sighting in self.sightings])
            for name in ("turn", "shift", "stiffness")
        )
        points = solve_track(seen, scores, turns, shifts, stiffness)
        boxes = _steady_boxes(points, self.sightings)
        self.sightings = [
            replace(sighting, keypoints=five, box=box)
            for sighting, five, box in zip(self.sightings, points, boxes, strict=True)
        ]


def _steady_boxes(points: Floats, sightings: list[Sighting]) -> list[Box]:
    """Boxes that lie around steady keypoints as most of the detector's do."""
    seen = np.array([sighting.score > 0 for sighting in sightings])
    boxes = np.array([sighting.box for sighting in sightings])
    scales = np.array([1 / np.hypot(*alignment_matrix(five, SWAPPER_SIZE)[:, 0]) for five in points])[:, None]
    middles = points.mean(1)
    low, high = ((boxes[:, ends] - middles) / scales for ends in (slice(0, 2), slice(2, 4)))
    steady = [middles + scales * np.median(edge[seen], 0) for edge in (low, high)]
    return [(float(x0), float(y0), float(x1), float(y1)) for (x0, y0), (x1, y1) in zip(*steady, strict=True)]


def move(face: Face, shift: Floats) -> Face:
    """The face somewhere else."""
    x, y = (float(value) for value in shift)
    x0, y0, x1, y1 = face.box
    return replace(face, box=(x0 + x, y0 + y, x1 + x, y1 + y), keypoints=face.keypoints + shift)
