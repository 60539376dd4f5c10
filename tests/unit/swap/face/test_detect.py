"""Finding faces: in place, turned, numbered, and without insightface's heavy imports."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.model_zoo.scrfd import SCRFD

from functions.swap.face import detect
from functions.swap.values import Floats
from layers.core.deadline import Deadline
from layers.core.errors import OutOfTime
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import keypoints_at

LATER = Deadline.after(3600)
KEYPOINTS = keypoints_at(300, 200, 2, 0.1)


def meme(width: int = 700, height: int = 400, keypoints: Floats = KEYPOINTS) -> Pixels:
    pixels = np.full((height, width, 3), 120, np.uint8)
    networks.draw_marks(pixels, keypoints, 6)
    return pixels


def test_finds_what_insightface_finds() -> None:
    session: Any = networks.MarkedFaces()
    boxes, keypoints = SCRFD(session=session).detect(meme(), input_size=(512, 512))

    (face,) = detect.Detector(session, 512).find(meme(), LATER)

    np.testing.assert_allclose(face.box, boxes[0, :4])
    np.testing.assert_allclose(face.keypoints, keypoints[0])
    np.testing.assert_allclose(face.keypoints, KEYPOINTS, atol=2)
    assert face.score == pytest.approx(0.9)
    assert face.keypoints.dtype == np.float32


@pytest.mark.parametrize("code", [cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_90_COUNTERCLOCKWISE, cv2.ROTATE_180])
def test_turned_faces_are_found_where_they_are(code: int) -> None:
    turned = cv2.rotate(meme(), code).astype(np.uint8)
    marks = np.array([np.argwhere((turned == mark).all(2)).mean(0)[::-1] for mark in networks.MARKS])

    (face,) = detect.Detector(networks.MarkedFaces(), 512).find(turned, LATER)

    np.testing.assert_allclose(face.keypoints, marks, atol=2)
    x0, y0, x1, y1 = face.box
    assert (face.keypoints >= (x0, y0)).all()
    assert (face.keypoints <= (x1, y1)).all()
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.1)


def test_turned_pictures_are_looked_at_only_when_none_is_found() -> None:
    session = networks.MarkedFaces()
    detect.Detector(session, 512).find(meme(), LATER)
    assert session.runs == 1

    empty = np.zeros((400, 700, 3), np.uint8)
    assert detect.Detector(session, 512).find(empty, LATER) == []
    assert session.runs == 1 + 4


@given(st.integers(1, 3), st.integers(2, 400), st.integers(2, 400), st.integers(0, 2**16))
@settings(max_examples=50, deadline=None)
def test_turning_back_undoes_opencvs_turn(turn: int, width: int, height: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = int(rng.integers(width)), int(rng.integers(height))
    pixels = np.zeros((height, width), np.uint8)
    pixels[y, x] = 255
    (row, column), *_ = np.argwhere(cv2.rotate(pixels, detect.TURNS[turn]))

    boxes = np.array([[column, row, column, row, 0.5]], np.float32)
    keypoints = np.full((1, 5, 2), (column, row), np.float32)
    boxes, keypoints = detect.rotate_back(boxes, keypoints, turn, width, height)

    assert boxes[0].tolist() == [x, y, x, y, 0.5]
    assert (keypoints == (x, y)).all()


def test_faces_are_numbered_from_left_to_right() -> None:
    boxes = np.array([[300, 0, 400, 9, 0.9], [0, 0, 50, 9, 0.6], [40, 0, 90, 9, 0.8]], np.float32)
    keypoints = np.arange(30, dtype=np.float32).reshape(3, 5, 2)

    faces = detect.number_faces(boxes, keypoints)

    assert [face.index for face in faces] == [0, 1, 2]
    assert [face.box[0] for face in faces] == [0, 40, 300]
    assert faces[2].keypoints[0, 0] == 0
    assert detect.find_largest(faces) is faces[2]


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (7, 5000), (30_000, 3)])
def test_slivers_have_no_face_and_do_no_harm(shape: tuple[int, int]) -> None:
    assert detect.Detector(networks.MarkedFaces(), 512).find(np.zeros((*shape, 3), np.uint8), LATER) == []


def test_a_detector_gone_wild_gives_no_face() -> None:
    assert detect.Detector(networks.MarkedFaces(score=float("inf")), 512).find(meme(), LATER) == []


def test_stops_when_time_is_over() -> None:
    with pytest.raises(OutOfTime):
        detect.Detector(networks.MarkedFaces(), 512).find(meme(), Deadline.after(-1))


def test_scrfd_comes_without_the_packages_around_it() -> None:
    code = """
import sys
from functions.swap.face import detect
scrfd = detect.scrfd()
heavy = {"scipy", "skimage", "insightface", "insightface.app", "insightface.model_zoo.inswapper"} & set(sys.modules)
assert not heavy, heavy
assert detect.scrfd() is scrfd
import insightface.app
assert insightface.app.FaceAnalysis and insightface.model_zoo.get_model
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
