"""The demo pack's detector in all looks: what it finds in drawn pictures, small, turned, in grids and in long ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from functions.swap.face.detect import Detector
from functions.swap.values import Face, Floats
from layers.core.deadline import Deadline
from layers.engine.session import session
from layers.media.picture import Pixels
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import keypoints, make_placement
from local.demo_pack.memes import draw_demo_pictures
from local.demo_pack.people import RESERVE, State, identity, sample_carrier
from local.demo_pack.reference_pack import PACK
from local.demo_pack.training.photographs import HELD_BACK, folder_of


@pytest.fixture(scope="module")
def detector() -> Detector:
    file = json.loads((PACK / "pack.json").read_text())["models"]["detector"]["file"]
    return Detector(session((PACK / file).read_bytes(), 2), 512)


def find(detector: Detector, picture: Pixels) -> list[Face]:
    return detector.find(picture, Deadline.after(600))


def draw_head(number: int, eyes: float) -> tuple[Pixels, Floats]:
    """A portrait of a person of the reserve, whose eyes are so many pixels apart, and its keypoints."""
    person, state = identity(RESERVE.start + number), State(smile=0.5)
    unit = eyes / (2 * person.eye_gap)
    side = round(5 * unit)
    placement = make_placement(unit, 0.0, side / 2, 0.45 * side)
    carrier = sample_carrier(np.random.default_rng(number), person)
    return draw(person, carrier, state, placement, (side, side)), keypoints(person, state, placement)


def compose_page(width: int, height: int, columns: int, rows: int, eyes: float) -> tuple[Pixels, list[Floats]]:
    """A page of heads in rows, and their keypoints, row by row."""
    soft = np.random.default_rng(1).integers(150, 220, (6, 6, 3)).astype(np.uint8)
    page, expected = np.asarray(cv2.resize(soft, (width, height)), np.uint8), []
    for number in range(columns * rows):
        head, points = draw_head(40 + number, eyes)
        row, column = divmod(number, columns)
        x, y = (int((column + 0.5) * width / columns), int((row + 0.5) * height / rows))
        x, y = x - len(head) // 2, y - len(head) // 2
        page[y : y + len(head), x : x + len(head)] = head
        expected.append(points + np.array([x, y], np.float32))
    return page, expected


def assert_all_in_order(faces: list[Face], expected: list[Floats]) -> None:
    """Each expected face is there, under its number, with its keypoints within a fifth of the eyes' distance."""
    assert len(faces) == len(expected)
    for face, points in zip(faces, expected, strict=True):
        eyes = np.linalg.norm(points[0] - points[1])
        assert np.linalg.norm(face.keypoints - points, axis=1).mean() < 0.2 * eyes


@pytest.mark.parametrize(
    ("width", "height", "eyes"),
    [(1000, 1000, 12), (1920, 1080, 12), (1080, 4000, 12), (3840, 2160, 25), (3840, 2160, 24), (4000, 3000, 25)],
)
def test_faces_are_found_down_to_12_pixels_and_a_160th_of_the_longer_side(
    detector: Detector, width: int, height: int, eyes: float
) -> None:
    page, expected = compose_page(width, height, 2, 2, eyes)

    assert_all_in_order(find(detector, page), expected)


def test_a_grid_of_36_faces_is_numbered_row_by_row(detector: Detector) -> None:
    page, expected = compose_page(1200, 1200, 6, 6, 30)

    assert_all_in_order(find(detector, page), expected)


@pytest.mark.parametrize("quality", [80, 95])
def test_faces_above_each_other_have_the_same_numbers_at_any_quality(detector: Detector, quality: int) -> None:
    page, expected = compose_page(500, 900, 1, 2, 60)
    compressed = cv2.imdecode(cv2.imencode(".jpg", page, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_COLOR)

    assert_all_in_order(find(detector, np.asarray(compressed, np.uint8)), expected)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_turned_face_is_found_beside_an_upright_one(detector: Detector, quarters: int) -> None:
    page, (left, right) = compose_page(900, 500, 2, 1, 60)
    upright, turned = page[:, :450], page[:, 450:].copy()
    for _ in range(quarters):
        height = len(turned)
        turned = np.rot90(turned, -1)
        x, y = right[:, 0] - (450 if right[:, 0].min() >= 450 else 0), right[:, 1]
        right = np.stack([height - 1 - y, x], 1)
    if quarters == 2:
        right = right + np.array([450, 0], np.float32)
        picture = np.concatenate([upright, turned], 1)
    else:
        picture = np.full((500, 950, 3), 190, np.uint8)
        picture[:, :450], picture[:450, 450:] = upright, turned
        right = right + np.array([450, 0], np.float32)

    faces = find(detector, np.ascontiguousarray(picture))

    assert_all_in_order(faces, [left, right.astype(np.float32)])


@pytest.mark.parametrize(("count", "gap", "tilt"), [(2, 1.75, 0.0), (2, 2.1, 0.2), (3, 1.8, -0.1), (4, 1.9, 0.1)])
def test_no_face_is_found_between_heads_side_by_side(detector: Detector, count: int, gap: float, tilt: float) -> None:
    picture, unit = np.full((600, 900, 3), (214, 190, 160), np.uint8), 85 - 8 * count
    expected = []
    for place in range(count):
        person, state = identity(RESERVE.start + 60 + 7 * count + place), State(smile=0.4)
        x = 450 + (place - (count - 1) / 2) * gap * unit
        placement = make_placement(unit, tilt * (-1) ** place, x, 300 + 20 * (place % 2))
        carrier = sample_carrier(np.random.default_rng(place), person)
        picture = draw(person, carrier, state, placement, (600, 900), picture)
        expected.append(keypoints(person, state, placement))

    assert_all_in_order(find(detector, picture), expected)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_a_face_that_fills_the_picture_is_found(detector: Detector, share: float) -> None:
    head, points = draw_head(44, 200)
    half = round(2.1 * 200 / share / 2)
    x, y = (round(float(value)) for value in points.mean(0))
    close_up = np.ascontiguousarray(head[y - half : y + half, x - half : x + half])

    assert_all_in_order(find(detector, close_up), [points - np.array([x - half, y - half], np.float32)])


def test_every_face_of_the_demo_is_found_and_nothing_else(detector: Detector, tmp_path: Path) -> None:
    for item in draw_demo_pictures(tmp_path):
        picture: Any = cv2.imread(str(item.path))
        assert len(find(detector, picture)) == item.faces, item.name


@pytest.mark.parametrize("name", HELD_BACK)
def test_nothing_is_found_in_a_photograph(detector: Detector, name: str) -> None:
    photograph: Any = cv2.imread(str(folder_of("skimage") / "data" / name))

    assert find(detector, photograph) == []
