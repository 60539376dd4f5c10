"""Alignment against insightface's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.utils import face_align

from functions.swap.face import align
from functions.swap.values import Face, Floats
from tests.unit.swap.face_fixtures import face_with, keypoints_at

keypoint_sets = st.builds(
    keypoints_at,
    st.floats(-50, 450),
    st.floats(-50, 350),
    st.floats(0.3, 4),
    st.floats(-np.pi, np.pi),
    st.integers(0, 1000),
)
picture = np.random.default_rng(7).integers(0, 256, (300, 400, 3), np.uint8)


@settings(max_examples=60)
@given(keypoint_sets, st.sampled_from([112, 128]))
def test_crops_are_those_of_insightface(keypoints: Floats, size: int) -> None:
    expected, expected_matrix = face_align.norm_crop2(picture, keypoints, size)

    crop, matrix = align.crop_face(picture, keypoints, size)

    np.testing.assert_allclose(matrix, expected_matrix, rtol=1e-4, atol=1e-3)
    # Noise magnifies the last digits of the matrix; a wrong pixel would differ by tens of levels.
    assert np.abs(crop.astype(int) - expected).max() <= 3


def test_the_smaller_crop_lies_in_the_larger() -> None:
    keypoints = keypoints_at(200, 150, 1.3, 0.4)

    small, _ = align.crop_face(picture, keypoints, 112)
    large, _ = align.crop_face(picture, keypoints, 128)

    assert np.abs(large[:112, 8:120].astype(int) - small).max() <= 1


@settings(max_examples=60)
@given(keypoint_sets, st.sampled_from([112, 128]))
def test_the_box_holds_every_pixel_that_the_crop_touches(keypoints: Floats, size: int) -> None:
    height, width = picture.shape[:2]
    inverse = align.invert(align.alignment_matrix(keypoints, size))

    x0, y0, x1, y1 = align.bounding_box(inverse, size, width, height)

    assert 0 <= x0 <= x1 <= width
    assert 0 <= y0 <= y1 <= height
    corners = np.array([[0, 0, 1], [size - 1, 0, 1], [0, size - 1, 1], [size - 1, size - 1, 1]]) @ inverse.T
    clipped = np.clip(corners, 0, (width - 1, height - 1))
    outside = (corners != clipped).any()
    assert outside or ((clipped >= (x0, y0)) & (clipped <= (x1 - 1, y1 - 1))).all()


@pytest.mark.parametrize(
    ("keypoints", "expected"),
    [
        (keypoints_at(200, 150, 1, 0), None),
        (keypoints_at(200, 150, 0.36, 0), None),
        (keypoints_at(200, 150, 0.3, 0), "too_small"),
        (keypoints_at(10, 150, 1, 0), None),  # an eye and a corner of the mouth are outside
        (keypoints_at(-20, 150, 1, 0), "cut_by_frame"),
        (keypoints_at(200, 330, 1, 0), "cut_by_frame"),
        (np.full((5, 2), 150, np.float32), "too_small"),
        (np.full((5, 2), np.nan, np.float32), "too_small"),
        (keypoints_at(200, 150, 1, 0)[[0, 0, 0, 0, 1]] * [[1, 1e7]], "cut_by_frame"),
    ],
)
def test_rejection_reasons(keypoints: Floats, expected: str | None) -> None:
    assert align.rejection_reason(face_with(keypoints), 400, 300) == expected


def test_a_thin_box_is_too_small() -> None:
    keypoints = keypoints_at(200, 150, 1, 0)
    assert align.rejection_reason(Face(0, (190, 100, 205, 200), keypoints, 0.9), 400, 300) == "too_small"


@settings(max_examples=100)
@given(st.lists(st.floats(width=32), min_size=10, max_size=10))
def test_no_keypoints_break_it(numbers: list[float]) -> None:
    keypoints = np.array(numbers, np.float32).reshape(5, 2)

    reason = align.rejection_reason(Face(0, (10, 10, 100, 100), keypoints, 0.5), 400, 300)

    if reason is None:
        crop, _ = align.crop_face(picture, keypoints, 128)
        assert crop.shape == (128, 128, 3)


def test_pictures_wider_than_opencv_warps_are_cropped() -> None:
    wide = np.zeros((200, 40_000, 3), np.uint8)
    wide[:, 39_800:] = 200

    crop, _ = align.crop_face(wide, keypoints_at(39_900, 100, 1, 0), 128)

    assert (crop == 200).all()
