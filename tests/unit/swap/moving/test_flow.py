"""Optical flow of a face against a known similarity."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from functions.swap.moving.appearance import SIDE
from functions.swap.moving.flow import NO_MOTION, measure_motion
from functions.swap.values import Floats
from layers.media.picture import Pixels
from tests.unit.swap.face_fixtures import grainy_picture, keypoints_at


def grey_texture() -> Pixels:
    return np.asarray(cv2.GaussianBlur(grainy_picture(480, 360)[:, :, 1], (0, 0), 1.5), np.uint8)


def move(picture: Pixels, turn: complex, shift: complex) -> Pixels:
    matrix = np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])
    return np.asarray(cv2.warpAffine(picture, matrix, picture.shape[::-1], flags=cv2.INTER_CUBIC), np.uint8)


@pytest.mark.parametrize("scale", [0.4, 1.0, 2.2])
def test_a_similarity_is_measured_to_a_fraction_of_a_pixel(scale: float) -> None:
    keypoints = keypoints_at(240, 180, scale, 0.1)
    turn = 1.01 * np.exp(0.03j)
    shift = (240 + 180j) * (1 - turn) + 5.3 - 3.7j
    before = grey_texture()
    motion = measure_motion(before, move(before, turn, shift), keypoints, np.array([4, -3], np.float32))
    expected = keypoints @ (1, 1j) * turn + shift
    assert np.abs(motion.move(keypoints) @ (1, 1j) - expected).max() < 0.15
    assert motion.share > 0.8


def test_a_jump_is_followed_from_where_the_face_is_detected() -> None:
    keypoints, before = keypoints_at(120, 180, 0.8, 0.0), grey_texture()
    motion = measure_motion(before, move(before, 1, 170 + 20j), keypoints, np.array([166, 23], np.float32))
    assert np.abs(motion.move(keypoints) - keypoints - (170, 20)).max() < 0.15


@pytest.mark.parametrize("after", [np.full((360, 480), 90, np.uint8), grey_texture()[::-1, ::-1].copy()])
def test_a_face_that_is_gone_has_no_motion(after: Pixels) -> None:
    motion = measure_motion(grey_texture(), after, keypoints_at(240, 180, 1.0, 0.0), np.zeros(2, np.float32))
    assert motion.share < 0.3


@pytest.mark.parametrize("keypoints", [keypoints_at(-300, 180, 1.0, 0.0), np.zeros((5, 2), np.float32)])
def test_a_face_outside_the_frame_has_no_motion(keypoints: Floats) -> None:
    grey = grey_texture()
    assert measure_motion(grey, grey, keypoints, np.zeros(2, np.float32)) == NO_MOTION


def test_what_passes_before_the_face_is_not_followed() -> None:
    keypoints, before = keypoints_at(240, 180, 1.0, 0.0), grey_texture()
    after = before.copy()
    after[:, 160:250] = move(before, 1, 9 + 0j)[:, 160:250]  # most of the face's left half goes elsewhere
    clear = np.ones((SIDE, SIDE), bool)
    clear[:, : SIDE * 5 // 8] = False
    motion = measure_motion(before, after, keypoints, np.zeros(2, np.float32), clear)
    assert np.abs(motion.move(keypoints) - keypoints).max() < 0.2
