"""Looks: where a pixel of a shrunk, turned, tilted or cropped picture is in the picture itself."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.swap.face import align, looks
from functions.swap.face.looks import View
from functions.swap.values import Floats
from layers.media.picture import Pixels
from tests.unit.swap.face_fixtures import keypoints_at

TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 2: cv2.ROTATE_180, 3: cv2.ROTATE_90_COUNTERCLOCKWISE}


def view_of(pixels: Pixels) -> View:
    return View(pixels, np.eye(2, 3))


def spot(width: int, height: int, x: float, y: float, radius: int = 20) -> Pixels:
    """A white disc on black."""
    pixels = np.zeros((height, width, 3), np.uint8)
    cv2.circle(pixels, (round(x), round(y)), radius, (255, 255, 255), -1)
    return pixels


def centroid(pixels: Pixels) -> Floats:
    weights = pixels[:, :, 0].astype(np.float64)
    rows, columns = np.mgrid[: weights.shape[0], : weights.shape[1]]
    return np.array([(weights * columns).sum(), (weights * rows).sum()], np.float32) / np.float32(weights.sum())


@given(st.integers(1, 3), st.integers(2, 400), st.integers(2, 400), st.integers(0, 2**16))
@settings(max_examples=50)
def test_a_turn_is_opencvs_and_leads_back(quarters: int, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[y, x] = 255

    turned = looks.turn(view_of(pixels), quarters)

    assert (turned.pixels == cv2.rotate(pixels, TURNS[quarters])).all()
    (row, column, _), *_ = np.argwhere(turned.pixels)
    np.testing.assert_allclose(turned.map_points(np.array([column, row], np.float32)), (x, y), atol=1e-3)


@pytest.mark.parametrize("degrees", looks.TILTS)
@pytest.mark.parametrize("side", [40, 128, 512, 700])
def test_a_spot_is_mapped_back_to_where_it_is(degrees: int, side: int) -> None:
    pixels = spot(640, 300, 480, 90)

    shrunk = looks.resize(view_of(pixels), side)
    tilted = looks.tilt(shrunk, degrees)

    for view in (shrunk, tilted):
        np.testing.assert_allclose(view.map_points(centroid(view.pixels)), (480, 90), atol=0.6)
    assert tilted.pixels.mean() * tilted.pixels.size == pytest.approx(
        shrunk.pixels.mean() * shrunk.pixels.size, rel=0.05
    )  # nothing is cut off


@pytest.mark.parametrize("roll", range(-180, 180, 30))
@pytest.mark.parametrize("scale", [0.2, 1.0, 9.0])
def test_a_second_look_is_upright_and_twice_the_box(roll: int, scale: float) -> None:
    keypoints = keypoints_at(1000, 900, scale, np.radians(roll))
    half = 1.5 * 35.24 * scale
    box = np.array([1000 - half, 900 - half, 1000 + half, 900 + half], np.float32)
    pixels = spot(2000, 1800, keypoints[0, 0], keypoints[0, 1], max(round(3 * scale), 1))
    levels = [view_of(pixels), looks.resize(view_of(pixels), 1024), looks.resize(view_of(pixels), 512)]

    crop = looks.crop_upright(levels, box, keypoints)

    assert crop.pixels.shape == (192, 192, 3)
    np.testing.assert_allclose(crop.map_points(centroid(crop.pixels)), keypoints[0], atol=0.8 * max(scale, 1))
    inside = (keypoints - crop.to_picture[:, 2]) @ np.linalg.inv(crop.to_picture[:, :2]).T
    assert abs(looks.measure_roll(inside.astype(np.float32))) < 1
    assert np.ptp(inside[:2, 0]) == pytest.approx(192 / 2 / 3, rel=0.15)


def test_roll_is_the_angle_of_the_alignment() -> None:
    for degrees in range(-175, 180, 25):
        keypoints = keypoints_at(300, 200, 2, np.radians(degrees))
        matrix = align.alignment_matrix(keypoints, 112)
        aligned = -np.degrees(np.arctan2(matrix[1, 0], matrix[0, 0]))
        assert abs((looks.measure_roll(keypoints) - aligned + 180) % 360 - 180) < 5


def test_boxes_stay_as_large_as_the_face() -> None:
    view = looks.resize(view_of(np.zeros((480, 640, 3), np.uint8)), 277)
    box = np.array([[10, 20, 50, 70]], np.float32)
    scale = 640 / view.pixels.shape[1]

    for quarters in (1, 2, 3):
        x0, y0, x1, y1 = looks.turn(view, quarters).map_boxes(box)[0]
        sides = (50, 40) if quarters % 2 else (40, 50)
        np.testing.assert_allclose((x1 - x0, y1 - y0), np.multiply(sides, scale), rtol=0.01)
    x0, y0, x1, y1 = looks.tilt(view, 45).map_boxes(box)[0]
    np.testing.assert_allclose((x1 - x0) * (y1 - y0), 2000 * scale**2, rtol=0.01)
