"""Frames that show the same without being neighbours, as in a loop that runs to and fro: one crop serves them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix
from functions.swap.moving.values import Analysis, FaceFrame, TrackFrame

# Pixels of the aligned crop by which keypoints in the same frame may differ, as they are solved with other neighbours:
# of drawn loops 37 to 100 percent of the frames agree to 0.1 and all to 0.3, of turning heads at least 63. To use
# another's crop beyond that would be a step in the track.
SAME_PLACE = 0.3


def share_crops(frames: Sequence[TrackFrame], digests: Sequence[bytes]) -> tuple[TrackFrame, ...]:
    """The frames of a track, where those that show what an earlier one showed have its keypoints and use its crop.

    `digests` are those of all distinct frames; an empty one is like no other.
    """
    firsts: dict[bytes, TrackFrame] = {}
    shared = []
    for frame in frames:
        digest = digests[frame.number]
        first = firsts.get(digest)
        if first is not None and frame.opacity > 0 and _distance(first, frame) <= SAME_PLACE:
            frame = replace(
                frame, keypoints=first.keypoints, box=first.box, cover=first.cover, crop_number=first.number
            )
        elif digest and frame.opacity > 0:
            firsts.setdefault(digest, frame)
        shared.append(frame)
    return tuple(shared)


def _distance(one: TrackFrame, other: TrackFrame) -> float:
    """The largest distance of two faces' keypoints, in pixels of the aligned crop."""
    scale = float(np.hypot(*alignment_matrix(one.keypoints, SWAPPER_SIZE)[:, 0]))
    return scale * float(np.linalg.norm(one.keypoints - other.keypoints, axis=1).max())


def find_crop(analysis: Analysis, face: FaceFrame) -> FaceFrame:
    """The face whose crop serves for this one: mostly itself."""
    number = analysis.tracks[face.track].at(face.number).crop_number
    return face if number < 0 else FaceFrame(number, face.track)
