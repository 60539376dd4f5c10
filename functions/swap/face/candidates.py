"""What the looks at a picture report: boxes, scores and keypoints, grouped by the face that they mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from functions.swap.face.looks import View, measure_roll
from functions.swap.values import Floats

OVERLAP = 0.4  # intersection over union from which two boxes mean one face; SCRFD's own
MOST = 5_000  # candidates of one picture: a detector gone wild reports every place, and grouping takes the square
REPEAT = 0.5  # of the keypoints' mean distance from their middle
SAME_ROLL = 30.0  # degrees


@dataclass(frozen=True)
class Candidates:
    """Possible faces, in one picture's pixels."""

    boxes: Floats  # float32 [N, 4]: x0, y0, x1, y1
    scores: Floats  # float32 [N], 0 to 1
    keypoints: Floats  # float32 [N, 5, 2]
    upright: NDArray[np.bool_]  # [N]: whether the look was

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[Any]) -> Candidates:
        """Some of them, in that order."""
        return Candidates(self.boxes[rows], self.scores[rows], self.keypoints[rows], self.upright[rows])

    def map_back(self, view: View) -> Candidates:
        """Candidates of a look in its picture."""
        upright = np.full(len(self), view.is_upright)
        return Candidates(view.map_boxes(self.boxes), self.scores, view.map_points(self.keypoints), upright)

    def keep_sane(self) -> Candidates:
        """Those whose numbers are finite and whose boxes have an area."""
        finite = np.isfinite(self.boxes).all(1) & np.isfinite(self.scores) & np.isfinite(self.keypoints).all((1, 2))
        with np.errstate(invalid="ignore"):
            return self.take(np.flatnonzero(finite & (self.boxes[:, 2:] > self.boxes[:, :2]).all(1)))

    def list_ways_up(self, within: float) -> list[Candidates]:
        """The best candidate of each way to turn the face, of those that score less than `within` below the first.

        The candidates go from the best to the worst.
        """
        rolls: list[float] = []
        ways: list[Candidates] = []
        for row in np.flatnonzero(self.scores > self.scores[0] - within):
            roll = measure_roll(self.keypoints[row])
            if all(abs((roll - other + 180) % 360 - 180) > SAME_ROLL for other in rolls):
                rolls.append(roll)
                ways.append(self.take(np.array([row])))
        return ways


def join(parts: Sequence[Candidates]) -> Candidates:
    """The best of all candidates, MOST of them, from the best to the worst."""
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(part.boxes for part in parts)])
    scores = np.concatenate([np.zeros(0, np.float32), *(part.scores for part in parts)])
    keypoints = np.concatenate([np.zeros((0, 5, 2), np.float32), *(part.keypoints for part in parts)])
    upright = np.concatenate([np.zeros(0, np.bool_), *(part.upright for part in parts)])
    every = Candidates(boxes, scores, keypoints, upright)
    return every.take(np.argsort(-every.scores, kind="stable")[:MOST])


def group(candidates: Candidates) -> list[Candidates]:
    """Group candidates, which go from the best to the worst, by the best one that their boxes overlap.

    This is non-maximum suppression which keeps what it suppresses.
    """
    groups = []
    rest = np.arange(len(candidates))
    while rest.size:
        same = measure_overlap(candidates.boxes[rest[0]], candidates.boxes[rest]) > OVERLAP
        same[0] = True
        groups.append(candidates.take(rest[same]))
        rest = rest[~same]
    return groups


def drop_repeats(faces: Candidates) -> Candidates:
    """The faces without those whose keypoints are a better one's: boxes of very different sizes may mean one face.

    They go from the best to the worst.
    """
    middles = faces.keypoints.mean(1)
    spreads = np.linalg.norm(faces.keypoints - middles[:, None], axis=2).mean(1)
    kept: list[int] = []
    for row, middle in enumerate(middles):
        distances = np.linalg.norm(middles[kept] - middle, axis=1)
        if (distances > REPEAT * np.minimum(spreads[kept], spreads[row])).all():
            kept.append(row)
    return faces.take(np.array(kept, np.intp))


def measure_overlap(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union, float32 [N], of a box [4] with boxes [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inner = np.clip(high - low, 0, None).prod(1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (box[2:] - box[:2]).prod()
    return np.asarray(inner / np.maximum(areas - inner, 1e-9), np.float32)
