"""How opaque a swapped face is along its track: it fades where the face is hidden, turns away, comes or goes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix, rejection_reason
from functions.swap.face.face_mask import smoothstep
from functions.swap.moving.covers import cover_share
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.values import Floats

FADE = 3  # frames, in which a face comes or goes
FADE_HIDDEN = 1  # the same where it looks otherwise for a moment, and nothing tells why
COVERED = 0.05  # share of the face: it does not go by itself, but behind something, up to whose edge it is opaque
GHOST = 0.6  # opacity
INVISIBLE = 0.05  # opacity that is not worth a run of the swapper
HIDDEN = (0.2, 0.4)  # share of the face that is hidden: opaque up to the first, transparent from the second
COVER = (0.93, 0.97)  # the same for what covers it, and is not painted over
TURNED = (0.55, 1.0)  # the same for `measure_yaw`


def measure_yaw(keypoints: Floats) -> float:
    """How far a face with these keypoints [5, 2] is turned to a side: 0 from the front, 1 with the nose below an eye.

    It is the difference of the nose's distances from both eyes along the line between them, over their sum: about the
    angle in radians.
    """
    points = keypoints.astype(np.float64) @ (1, 1j)
    forward = alignment_matrix(keypoints, SWAPPER_SIZE)
    across = complex(forward[0, 0], -forward[1, 0])
    left, right, nose = ((point / across).real if across else 0.0 for point in points[:3])
    apart = abs(right - left)
    return min(abs(2 * nose - left - right) / apart, 2.0) if apart else 2.0


def fade(segments: Sequence[Segment], width: int, height: int) -> list[tuple[Sighting, float]]:
    """The sightings of one person in all segments, and their opacity, 0 to 1, in ascending order.

    The frame has that size in pixels. Where two segments meet there is no end, and neither is there at a cut.
    """
    rows = [(sighting, segment) for segment in segments for sighting in segment.sightings]
    rows.sort(key=lambda row: row[0].number)
    numbers = [sighting.number for sighting, _ in rows]
    shown = np.array([_measure_visibility(sighting, width, height) for sighting, _ in rows])
    opacity = np.ones(len(rows))
    breaks = np.flatnonzero(np.diff(numbers) > 1) + 1
    for run in np.split(np.arange(len(rows)), breaks):
        first, last = rows[run[0]][1], rows[run[-1]][1]
        ends = (
            0 if first.starts_shot else _choose_fade(rows[run[0]][0]),
            0 if last.ends_shot else _choose_fade(rows[run[-1]][0]),
        )
        cuts = [at for at in range(1, len(run)) if _is_cut(rows[run[at - 1]][1], rows[run[at]][1])]
        covers = np.array([cover_share(rows[at][0].cover) for at in run])
        opacity[run] = _drop_flashes(_limit_slope(shown[run], ends, cuts, covers))
    return [(sighting, float(value)) for (sighting, _), value in zip(rows, opacity, strict=True)]


def _is_cut(before: Segment, after: Segment) -> bool:
    """Whether a shot ends between two frames that follow one another."""
    return before is not after and before.ends_shot and after.starts_shot


def _measure_visibility(sighting: Sighting, width: int, height: int) -> float:
    """How well a frame shows a face, 0 to 1."""
    if sighting.patch is None or _is_unusable(sighting, width, height):
        return 0.0
    unclear = sighting.hidden if sighting.unclear is None else sighting.unclear
    values = np.array([unclear, cover_share(sighting.cover), measure_yaw(sighting.keypoints)])
    low, high = np.array([HIDDEN, COVER, TURNED]).T
    shown = float(np.prod(1 - smoothstep((values - low) / (high - low))))
    return shown if shown >= INVISIBLE else 0.0


def _is_unusable(sighting: Sighting, width: int, height: int) -> bool:
    """Whether a face cannot be swapped; one whose part outside the frame is known from other frames can."""
    reason = rejection_reason(sighting.face, width, height)
    return reason == "too_small" or (reason == "cut_by_frame" and sighting.model is None)


def _choose_fade(end: Sighting) -> int:
    """Over how many frames a face fades at that end of its stretch: none where it goes behind something."""
    return 0 if cover_share(end.cover) >= COVERED else FADE


def _limit_slope(
    shown: NDArray[np.float64], ends: tuple[int, int], cuts: list[int], covers: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Opacity that is nowhere more than `shown`, and changes slowly, at both ends over so many frames.

    It may change at once where a face goes behind something: `covers` is the share of it that is hidden.
    """
    parts = np.split(shown, cuts)
    for number, (part, covered) in enumerate(zip(parts, np.split(covers, cuts), strict=True)):
        far = np.arange(1, len(part) + 1)
        before, after = ends[0] if number == 0 else 0, ends[1] if number == len(parts) - 1 else 0
        np.minimum(part, np.minimum(far / (before + 1), far[::-1] / (after + 1)), out=part)
        for order in (range(1, len(part)), range(len(part) - 2, -1, -1)):
            beside = -1 if order.step > 0 else 1
            for at in order:
                if max(covered[at], covered[at + beside]) < COVERED:
                    part[at] = min(part[at], part[at + beside] + 1 / (FADE_HIDDEN + 1))
    return np.concatenate(parts)


def _drop_flashes(opacity: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same, without stretches between transparent frames in which the face would never be more than a ghost."""
    ends = np.flatnonzero(opacity <= 0)
    for part in np.split(np.arange(len(opacity)), np.unique(np.concatenate([ends, ends + 1]))):
        if part.size and opacity[part].max() < GHOST:
            opacity[part] = 0
    return opacity
