"""Which frames of a track share one crop."""

from __future__ import annotations

import numpy as np

from functions.swap.face.align import TEMPLATE
from functions.swap.moving.same_canvas import SAME_PLACE, find_crop, share_crops
from functions.swap.moving.values import Analysis, FaceFrame, Track, TrackFrame

A, B = b"a", b"b"


def frame(number: int, *, right: float = 0.0, opacity: float = 1.0) -> TrackFrame:
    """A face twice as large as its crop, that many pixels of the crop further to the right."""
    keypoints = (2 * (TEMPLATE + np.array([right, 0]))).astype(np.float32)
    return TrackFrame(number, keypoints, (50 + right, 60, 170 + right, 220), 0.8, opacity)


def crop_numbers(frames: list[TrackFrame], digests: list[bytes]) -> list[int]:
    return [each.crop_number for each in share_crops(frames, digests)]


def test_the_same_canvas_has_the_crop_and_the_keypoints_of_its_first_frame() -> None:
    frames = share_crops([frame(0), frame(1), frame(2, right=0.9 * SAME_PLACE)], [A, B, A])
    assert [each.crop_number for each in frames] == [-1, -1, 0]
    np.testing.assert_array_equal(frames[2].keypoints, frames[0].keypoints)
    assert frames[2].box == frames[0].box


def test_keypoints_that_differ_have_a_crop_of_their_own() -> None:
    assert crop_numbers([frame(0), frame(1, right=1.1 * SAME_PLACE)], [A, A]) == [-1, -1]


def test_frames_without_a_digest_are_like_no_other() -> None:
    assert crop_numbers([frame(0), frame(1)], [b"", b""]) == [-1, -1]


def test_a_face_that_is_not_seen_gives_no_crop_and_takes_none() -> None:
    frames = [frame(0, opacity=0.0), frame(1, opacity=0.5), frame(2), frame(3, opacity=0.0)]
    assert crop_numbers(frames, [A, A, A, A]) == [-1, -1, 1, -1]


def test_a_face_finds_the_crop_that_serves_it() -> None:
    frames = share_crops([frame(0), frame(1), frame(2)], [A, B, A])
    track = Track(0, frames, 0, np.zeros(512, np.float32))
    analysis = Analysis(400, 300, (0, 1, 2), (0.0, 0.1, 0.2), (track,))
    assert [find_crop(analysis, FaceFrame(number, 0)) for number in range(3)] == [(0, 0), (1, 0), (0, 0)]
