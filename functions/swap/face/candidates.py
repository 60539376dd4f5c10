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
WITHIN_FACE = 2.2  # of that distance: half of a face's width
MOST_OF_BOX = 0.7  # of the smaller box, within the other


@dataclass(frozen=True)
class Candidates:
    """Possible faces, in one picture's pixels."""

    boxes: Floats  # float32 [N, 4]: x0, y0, x1, y1
    scores: Floats  # float32 [N], 0 to 1
    keypoints: Floats  # float32 [N, 5, 2]
    upright: NDArray[np.bool_]  # [N]: whether the look was

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def areas(self) -> Floats:
        """The areas of their boxes, float32 [N]."""
        return np.asarray((self.boxes[:, 2:] - self.boxes[:, :2]).prod(1), np.float32)

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
    """The faces without those that repeat a better one, as boxes of very different sizes may mean one face.

    Their keypoints are the better one's, or one of the two boxes holds most of the other and they are turned
    differently: a turned look takes two heads side by side for one. A face between two heads whose eyes are one of
    each is none either. The faces go from the best to the worst.
    """
    middles = faces.keypoints.mean(1)
    spreads = np.linalg.norm(faces.keypoints - middles[:, None], axis=2).mean(1)
    rolls = np.array([measure_roll(keypoints) for keypoints in faces.keypoints])
    kept: list[int] = []
    for row, middle in enumerate(middles):
        distances = np.linalg.norm(middles[kept] - middle, axis=1)
        has_its_keypoints = distances <= REPEAT * np.minimum(spreads[kept], spreads[row])
        is_turned = np.abs((rolls[kept] - rolls[row] + 180) % 360 - 180) > SAME_ROLL
        holds_most = measure_overlap(faces.boxes[row], faces.boxes[kept], of_smaller=True) > MOST_OF_BOX
        owners = np.linalg.norm(middles[kept] - faces.keypoints[row, :2, None], axis=2) < WITHIN_FACE * spreads[kept]
        borrows_eyes = owners.any(1).all() and not owners.all(0).any()
        if not borrows_eyes and not (has_its_keypoints | is_turned & holds_most).any():
            kept.append(row)
    return faces.take(np.array(kept, np.intp))


def measure_overlap(box: Floats, boxes: Floats, *, of_smaller: bool = False) -> Floats:
    """Intersection over union, or over the smaller of the two, float32 [N], of a box [4] with boxes [N, 4]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    inner = np.clip(high - low, 0, None).prod(1)
    ours, theirs = (box[2:] - box[:2]).prod(), (boxes[:, 2:] - boxes[:, :2]).prod(1)
    whole = np.minimum(ours, theirs) if of_smaller else ours + theirs - inner
    return np.asarray(inner / np.maximum(whole, 1e-9), np.float32)
