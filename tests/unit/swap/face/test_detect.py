"""Finding faces: in place, turned, near, far, and numbered."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from insightface.model_zoo.scrfd import SCRFD
from numpy.typing import NDArray

from functions.swap.face import detect
from functions.swap.face.candidates import Candidates
from functions.swap.values import Face, Floats
from layers.core.deadline import Deadline
from layers.core.errors import OutOfTime
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import keypoints_at

LATER = Deadline.after(3600)
EYES = 35.24  # pixels between the template's eyes
KEYPOINTS = keypoints_at(300, 200, 2, 0.1)


def meme(*faces: Floats, width: int = 700, height: int = 400, radius: int = 6) -> Pixels:
    """A picture with marked faces, uint8 BGR."""
    pixels = np.full((height, width, 3), 120, np.uint8)
    for keypoints in faces or (KEYPOINTS,):
        networks.draw_marks(pixels, keypoints, radius)
    return pixels


def find(pixels: Pixels, session: networks.MarkedFaces | None = None) -> list[Face]:
    return detect.Detector(session or networks.MarkedFaces(), 512).find(pixels, LATER)


def assert_right(faces: list[Face], *expected: Floats, within: float = 2.0) -> None:
    """Each expected face is there, in that order, with its keypoints within so many pixels, and no other is."""
    assert len(faces) == len(expected)
    for face, keypoints in zip(faces, expected, strict=True):
        np.testing.assert_allclose(face.keypoints, keypoints, atol=within)


def test_finds_what_insightface_finds_where_nothing_is_scaled() -> None:
    session: Any = networks.MarkedFaces()
    upright = keypoints_at(300, 200, 2, 0)
    picture = meme(upright, width=512, height=512)
    boxes, keypoints = SCRFD(session=session).detect(picture, input_size=(512, 512))

    (face,) = find(picture)

    np.testing.assert_allclose(face.box, boxes[0, :4], atol=1e-3)
    np.testing.assert_allclose(face.keypoints, keypoints[0], atol=1e-3)
    assert_right([face], upright)
    assert face.score == pytest.approx(0.9)
    assert face.keypoints.dtype == np.float32


@pytest.mark.parametrize("degrees", range(0, 360, 15))
def test_a_turned_face_has_its_own_keypoints(degrees: int) -> None:
    turned = keypoints_at(300, 200, 2, np.radians(degrees))

    (face,) = find(meme(turned))

    assert_right([face], turned)
    x0, y0, x1, y1 = face.box
    assert (face.keypoints >= (x0, y0)).all()
    assert (face.keypoints <= (x1, y1)).all()
    assert x1 - x0 == pytest.approx(y1 - y0, rel=0.1)
    assert pytest.approx(y1 - y0, rel=0.1) == 3 * 2 * EYES


def test_insightface_alone_gets_a_turned_face_wrong_with_this_session() -> None:
    turned = keypoints_at(256, 256, 2, np.pi)
    session: Any = networks.MarkedFaces()

    boxes, keypoints = SCRFD(session=session).detect(meme(turned, width=512, height=512), input_size=(512, 512))

    assert 0.5 <= boxes[0, 4] <= 0.8
    assert np.linalg.norm(keypoints[0] - turned, axis=1).mean() > EYES


def test_a_lying_face_is_found_beside_an_upright_one() -> None:
    upright, lying = keypoints_at(150, 200, 1.5, 0), keypoints_at(520, 210, 1.5, np.pi / 2)

    assert_right(find(meme(upright, lying)), upright, lying)


@pytest.mark.parametrize("share", [0.7, 0.9, 1.0, 1.2])
@pytest.mark.parametrize("side", [150, 900])
def test_a_face_that_fills_the_picture_is_found(side: int, share: float) -> None:
    near = keypoints_at(side / 2, side / 2, share * side / 3 / EYES, 0)

    assert_right(find(meme(near, width=side, height=side, radius=side // 40)), near, within=side / 60)


@pytest.mark.parametrize(("width", "height"), [(1080, 4000), (6000, 800), (3840, 2160)])
def test_small_faces_are_found_in_large_and_long_pictures(width: int, height: int) -> None:
    spots = [(0.1, 0.1), (0.9, 0.1), (0.5, 0.5), (0.1, 0.9), (0.9, 0.9)]
    small = [keypoints_at(x * width, y * height, 25 / EYES, 0) for x, y in spots]

    assert_right(find(meme(*small, width=width, height=height, radius=5)), *small)


def test_each_axis_has_its_own_scale() -> None:
    edge = keypoints_at(1366 - 60, 384, 1, 0)

    assert_right(find(meme(edge, width=1366, height=768, radius=4)), edge, within=1)


def test_a_mirrored_picture_has_the_mirrored_faces() -> None:
    left, right = keypoints_at(150, 200, 1.5, 0.2), keypoints_at(520, 210, 1.5, 0)
    pixels = meme(left, right)
    mirrored = pixels.copy()
    mirrored[:, :] = 120
    expected = []
    for keypoints in (right, left):
        flipped = np.array([(pixels.shape[1] - 1 - x, y) for x, y in keypoints[[1, 0, 2, 4, 3]]], np.float32)
        networks.draw_marks(mirrored, flipped, 6)
        expected.append(flipped)

    assert_right(find(mirrored), *expected)


def find_largest(pixels: Pixels, session: networks.MarkedFaces) -> Face:
    face = detect.Detector(session, 512).find_largest(pixels, LATER)
    assert face
    return face


def count_pixels(session: networks.MarkedFaces) -> int:
    """How many pixels the detector has looked at."""
    return sum(height * width for height, width in session.shapes)


@pytest.mark.parametrize(("width", "height"), [(700, 400), (2100, 1200)])
def test_the_largest_face_is_found_with_less_work_if_it_is_upright(width: int, height: int) -> None:
    scale = width / 700
    upright = keypoints_at(250 * scale, 200 * scale, 2.5 * scale, 0)
    smaller = keypoints_at(600 * scale, 200 * scale, 1.2 * scale, 0)
    picture = meme(upright, smaller, width=width, height=height, radius=round(10 * scale))
    all_looks, session = networks.MarkedFaces(), networks.MarkedFaces()
    expected = detect.find_largest(find(picture, all_looks))

    face = find_largest(picture, session)

    assert_right([face], upright, within=3 * scale)
    np.testing.assert_allclose(face.box, expected.box, atol=3 * scale)
    assert count_pixels(session) < count_pixels(all_looks) / (2 if scale == 1 else 3)


@pytest.mark.parametrize("degrees", range(45, 360, 45))
def test_the_largest_face_is_found_however_it_is_turned(degrees: int) -> None:
    turned = keypoints_at(300, 200, 2.5, np.radians(degrees))

    assert_right([find_largest(meme(turned, radius=10), networks.MarkedFaces())], turned, within=3)


@pytest.mark.parametrize("degrees", [0, 90, 180, 225])
def test_a_larger_face_beside_an_upright_one_is_the_largest_however_it_is_turned(degrees: int) -> None:
    upright, larger = keypoints_at(130, 200, 2, 0), keypoints_at(480, 220, 2.6, np.radians(degrees))

    face = find_largest(meme(upright, larger, radius=9), networks.MarkedFaces())

    assert_right([face], larger, within=3)


@pytest.mark.parametrize("share", [0.994, 1.006])
def test_of_two_faces_of_nearly_one_size_the_largest_is_that_of_all_looks(share: float) -> None:
    faces = keypoints_at(170, 200, 2, 0), keypoints_at(520, 200, 2 * share, 0)
    picture = meme(*faces, radius=8)

    assert find_largest(picture, networks.MarkedFaces()).box == detect.find_largest(find(picture)).box


@pytest.mark.parametrize("shape", [(400, 700), (7, 5000)])
def test_a_picture_without_faces_has_no_largest_one(shape: tuple[int, int]) -> None:
    picture = np.full((*shape, 3), 120, np.uint8)

    assert detect.Detector(networks.MarkedFaces(), 512).find_largest(picture, LATER) is None


class SecondSight(networks.MarkedFaces):
    """Scores 0.47, and something else in pictures of 192 pixels, which no first look has here."""

    def __init__(self, second: float) -> None:
        super().__init__()
        self._second = second

    def run(self, output_names: Any, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        (blob,) = feeds.values()
        self._score = self._second if blob.shape[2:] == (192, 192) else 0.47
        return super().run(output_names, feeds)


def test_an_unsure_face_counts_only_if_a_second_look_confirms_it() -> None:
    assert find(meme(), SecondSight(0.2)) == []
    assert_right(find(meme(), SecondSight(0.9)), KEYPOINTS)


@pytest.mark.parametrize("shape", [(400, 700), (4000, 1080), (100, 9000), (20, 8000), (3000, 4000)])
def test_no_look_is_larger_than_twice_the_usual_one_each_way(shape: tuple[int, int]) -> None:
    session = networks.MarkedFaces()

    find(np.zeros((*shape, 3), np.uint8), session)

    pixels = sorted(height * width for height, width in session.shapes)
    assert len(pixels) <= 10
    assert pixels[-1] <= 1.3 * (1024 * 1024 if shape[0] * shape[1] > 1024 * 1024 else 512 * 512)
    assert pixels[-2] <= 1.3 * 512 * 512
    assert all(side % 32 == 0 for shape in session.shapes for side in shape)


def make_candidates(*boxes: tuple[float, float, float, float]) -> Candidates:
    count = len(boxes)
    keypoints = np.arange(10 * count, dtype=np.float32).reshape(count, 5, 2)
    return Candidates(np.array(boxes, np.float32), np.full(count, 0.9, np.float32), keypoints, np.ones(count, np.bool_))


def test_faces_are_numbered_in_rows_from_top_to_bottom_then_from_left_to_right() -> None:
    faces = detect.number_faces(
        make_candidates((300, 210, 400, 310), (0, 200, 100, 300), (310, 5, 410, 105), (10, 0, 150, 140))
    )

    assert [face.index for face in faces] == [0, 1, 2, 3]
    assert [face.box[0] for face in faces] == [10, 310, 0, 300]
    assert faces[3].keypoints[0, 0] == 0
    assert detect.find_largest(faces) is faces[0]


@pytest.mark.parametrize("seed", range(20))
def test_numbers_do_not_change_with_a_few_pixels_of_noise(seed: int) -> None:
    rng = np.random.default_rng(seed)
    grid = np.array([(x, y, x + 50, y + 50) for y in range(0, 600, 100) for x in range(0, 600, 100)], float)
    noisy = grid + rng.uniform(-6, 6, grid.shape)
    shuffled = rng.permutation(len(grid))

    faces = detect.number_faces(make_candidates(*map(tuple, noisy[shuffled])))

    np.testing.assert_allclose([face.box for face in faces], noisy, atol=1e-3)


def test_one_look_finds_the_faces_of_the_next_frame() -> None:
    session = networks.MarkedFaces()
    detector, moved = detect.Detector(session, 512), KEYPOINTS + np.float32(9)
    expected = find(meme())
    assert_right(detector.find_again(meme(moved), expected, LATER), moved)
    assert session.runs == 1
    assert_right(detector.find_again(meme(moved), [], LATER), moved)


@pytest.mark.parametrize("degrees", [40, 90, 180])
def test_a_turned_face_gets_a_second_look_in_the_next_frame(degrees: int) -> None:
    turned = keypoints_at(300, 200, 2, np.radians(degrees))
    session = networks.MarkedFaces()
    faces = detect.Detector(session, 512).find_again(meme(turned + np.float32(5)), find(meme(turned)), LATER)
    assert_right(faces, turned + np.float32(5))
    assert session.runs == 2


def test_a_face_that_fills_the_picture_gets_a_second_look_in_the_next_frame() -> None:
    filling = keypoints_at(300, 300, 5.2, 0.0)
    picture = meme(filling, width=600, height=600, radius=14)
    session = networks.MarkedFaces()
    assert_right(detect.Detector(session, 512).find_again(picture, find(picture), LATER), filling, within=4)
    assert session.runs == 2


def test_a_face_that_is_gone_is_not_found_again() -> None:
    session = networks.MarkedFaces()
    empty = np.full((400, 700, 3), 120, np.uint8)
    assert detect.Detector(session, 512).find_again(empty, find(meme()), LATER) == []
    assert session.runs == 2


@pytest.mark.parametrize("shape", [(1, 1), (1, 5000), (5000, 1), (7, 5000), (30_000, 3)])
def test_slivers_have_no_face_and_do_no_harm(shape: tuple[int, int]) -> None:
    assert find(np.zeros((*shape, 3), np.uint8)) == []


def test_a_detector_gone_wild_gives_no_face() -> None:
    assert find(meme(), networks.MarkedFaces(score=float("inf"))) == []


@dataclass(frozen=True)
class ShortDeadline(Deadline):
    """A deadline that passes after three checks."""

    checks: list[str] = field(default_factory=list)

    def check(self, doing: str) -> float:
        self.checks.append(doing)
        if len(self.checks) > 3:
            raise OutOfTime(doing)
        return 1.0


def test_stops_between_looks_when_time_is_over() -> None:
    session = networks.MarkedFaces()

    with pytest.raises(OutOfTime, match="looking for faces"):
        detect.Detector(session, 512).find(meme(), ShortDeadline(0.0))

    assert session.runs == 3
