"""The drawings: the same everywhere, with keypoints where insightface's alignment expects them."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from insightface.utils import face_align

from local.demo_pack.drawing import draw
from local.demo_pack.geometry import crop_placement, face_box, keypoints, make_placement, template
from local.demo_pack.memes import draw_demo_pictures
from local.demo_pack.people import (
    CHOICES,
    DEVELOPMENT,
    RANGES,
    RESERVE,
    TRAINING,
    Identity,
    State,
    identity,
    sample_carrier,
    sample_state,
)
from local.demo_pack.scenes import draw_scene

PERSON = identity(RESERVE.start + 7)
CARRIER = sample_carrier(np.random.default_rng(0), PERSON)
TURNED = State(yaw=0.3, pitch=-0.1, smile=0.8, opening=0.4, light=0.0)


def test_seeds_of_training_development_and_reserve_are_disjoint() -> None:
    assert max(TRAINING) < min(DEVELOPMENT)
    assert max(DEVELOPMENT) < min(RESERVE)


def test_an_identity_keeps_to_its_bounds_and_tells_them_in_its_vector() -> None:
    assert {field.name for field in fields(Identity)} == set(RANGES) | set(CHOICES)
    for seed in range(200):
        vector = identity(seed).vector()
        assert vector.shape == (len(RANGES) + sum(CHOICES.values()),)
        assert np.abs(vector).max() <= 1


def test_the_same_seeds_draw_the_same_picture() -> None:
    state = sample_state(np.random.default_rng(3))
    first, second = (
        draw(identity(5), CARRIER, state, crop_placement(identity(5), state, 112), (112, 112)) for _ in range(2)
    )
    other = draw(identity(6), CARRIER, state, crop_placement(identity(6), state, 112), (112, 112))

    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("size", [112, 128])
def test_keypoints_align_as_insightface_aligns_them(size: int) -> None:
    placement = make_placement(90, 0.2, 250, 230)
    picture = draw(PERSON, CARRIER, TURNED, placement, (512, 512))
    points = keypoints(PERSON, TURNED, placement)

    expected = face_align.estimate_norm(points, size)
    ours = crop_placement(PERSON, TURNED, size)

    assert np.allclose(expected[:, :2] @ placement[:, :2], ours[:, :2], atol=0.02)
    assert np.allclose(expected[:, :2] @ placement[:, 2] + expected[:, 2], ours[:, 2], atol=0.02)
    # So the crop that insightface cuts from the picture is the crop that is drawn directly.
    cut, _ = face_align.norm_crop2(picture, points, size)
    drawn_crop = draw(PERSON, CARRIER, TURNED, ours, (size, size))
    inner = slice(int(0.35 * size), int(0.65 * size))
    assert np.abs(cut[inner, inner].astype(int) - drawn_crop[inner, inner]).mean() < 6


@pytest.mark.parametrize("size", [112, 128])
def test_eyes_and_mouth_land_on_the_template(size: int) -> None:
    straight = State()
    points = keypoints(PERSON, straight, crop_placement(PERSON, straight, size))

    assert np.linalg.norm(points - template(size), axis=1).max() < 0.09 * size


def test_a_gaze_moves_the_irises_and_nothing_else() -> None:
    person = replace(PERSON, glasses=0)
    left, right = (
        draw(person, CARRIER, State(gaze_x=gaze), crop_placement(person, State(), 128), (128, 128)).astype(int)
        for gaze in (-1.0, 1.0)
    )
    changed = np.argwhere(np.abs(left - right).max(2) > 24)
    eyes = template(128)[:2]

    assert len(changed) > 20
    assert abs(changed[:, 0].mean() - eyes[:, 1].mean()) < 8
    assert np.ptp(changed[:, 0]) < 36


def test_a_scene_labels_every_upright_face_inside_its_box() -> None:
    scenes = [draw_scene(seed, RESERVE, 256) for seed in range(12)]

    assert sum(len(scene.boxes) for scene in scenes) >= 10
    for scene in scenes:
        assert scene.picture.shape == (256, 256, 3)
        assert len(scene.boxes) == len(scene.keypoints)
        for box, points in zip(scene.boxes, scene.keypoints, strict=True):
            assert (points > box[:2] - 2).all()
            assert (points < box[2:] + 2).all()


def test_the_box_grows_with_the_face() -> None:
    small, large = (face_box(CARRIER, State(), make_placement(unit, 0.0, 200, 200)) for unit in (40, 80))

    assert np.allclose((large - 200) / (small - 200), 2, atol=0.05)


def test_the_demo_gets_portraits_and_memes(tmp_path_factory: pytest.TempPathFactory) -> None:
    first, second = (draw_demo_pictures(tmp_path_factory.mktemp("demo")) for _ in range(2))

    assert [item.path.read_bytes() for item in first] == [item.path.read_bytes() for item in second]
    faces, memes = ([item for item in first if item.path.parent.name == kind] for kind in ("faces", "memes"))
    assert len(faces) >= 3
    assert len(memes) >= 4
    for item in faces:
        picture = cv2.imread(str(item.path))
        assert picture is not None
        assert picture.shape == (512, 512, 3)
    for item in memes:
        picture = cv2.imread(str(item.path))
        assert picture is not None
        assert 640 <= max(picture.shape) <= 960
