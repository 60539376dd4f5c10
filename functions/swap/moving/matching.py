"""Which detected face is which track's: by place, size and appearance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from functions.swap.moving.appearance import Glimpse, hidden_share
from functions.swap.moving.segment import Segment
from functions.swap.values import Face

FAR = 1.5  # sides of the box, between where a face was or may be and where one is: no face goes so far in a frame
SIZES = 2.0  # by which it grows or shrinks at most
STRANGE = 0.75  # share of the face that differs, from which it is another's


def match_faces(segments: Sequence[Segment], faces: Sequence[Face], glimpses: Sequence[Glimpse]) -> dict[int, int]:
    """The place of the face that continues a segment, by the segment's place: the nearest first that look alike."""
    costs: list[tuple[float, int, int]] = []
    for at, segment in enumerate(segments):
        for number, (face, glimpse) in enumerate(zip(faces, glimpses, strict=True)):
            distance = _distance(segment, face)
            if distance is None:
                continue
            strangeness = hidden_share(segment.appearance.compare(glimpse.cells))
            if strangeness < STRANGE:
                costs.append((distance + 2 * strangeness, at, number))
    matches: dict[int, int] = {}
    for _, at, number in sorted(costs):
        if at not in matches and number not in matches.values():
            matches[at] = number
    return matches


def _distance(segment: Segment, face: Face) -> float | None:
    """How far a face is from a segment, in sides of their boxes; None if it cannot be the same."""
    last = segment.last.face
    sides = np.sqrt([last.area, face.area])
    if not sides.all() or sides.max() > SIZES * sides.min():
        return None
    middle = face.keypoints.mean(0)
    places = (last.keypoints.mean(0), segment.expect().keypoints.mean(0))
    distance = min(float(np.linalg.norm(middle - place)) for place in places) / float(sides.mean())
    return distance if distance < FAR else None
