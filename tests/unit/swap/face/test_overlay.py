"""Captions, labels and bars stay in front of a new face, and nothing of the old one does."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.swap.face import align
from functions.swap.face.overlay import cut_overlay, find_overlay
from layers.media.picture import Pixels
from local.demo_pack.drawing import draw
from local.demo_pack.geometry import keypoints, make_placement
from local.demo_pack.memes import draw_caption
from local.demo_pack.people import RESERVE, clean, identity, sample_carrier, sample_state
from tests.unit.swap.face.drawn_swaps import IVY, RUBY, Drawn, plain_ground, swap

FACE = Drawn(IVY, 112, 256, 236, (512, 512))


def find(picture: Pixels) -> NDArray[np.bool_]:
    """Where something lies over a picture that is all face, bool [H, W]."""
    overlay, (height, width) = find_overlay(picture), picture.shape[:2]
    if overlay is None:
        return np.zeros((height, width), bool)
    return np.asarray(cut_overlay(overlay, 0, (width, height)) > 0)


def write(picture: Pixels, place: float) -> NDArray[np.bool_]:
    """Write a caption over the picture; returns which of its pixels are white."""
    before = picture.copy()
    draw_caption(picture, "NOPE NOPE", place)
    return np.asarray((picture.min(2) >= 250) & (picture != before).any(2))


@pytest.mark.parametrize("quality", [None, 90, 75])
@pytest.mark.parametrize("place", [0.4, 0.6])
def test_a_caption_stays_white(place: float, quality: int | None) -> None:
    picture = FACE.draw(plain_ground(512, 512))
    white = write(picture, place)
    if quality is not None:
        file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)

    result = swap(picture, [FACE.keypoints], [0], RUBY)

    assert (result[white].min(1) >= 240).mean() >= 0.95
    assert (swap(picture, [FACE.keypoints], [0], RUBY, detail="fast")[white].min(1) >= 240).mean() < 0.8


def test_a_black_caption_and_one_over_a_large_face_are_found_too() -> None:
    picture = FACE.draw(plain_ground(512, 512))
    cv2.rectangle(picture, (100, 200), (400, 260), (255, 255, 255), -1)
    cv2.putText(picture, "WHAT?", (130, 250), cv2.FONT_HERSHEY_DUPLEX, 1.5, (0, 0, 0), 4)
    assert find(picture)[205:255, 105:395].all()

    large = np.asarray(cv2.resize(FACE.draw(plain_ground(512, 512)), (1700, 1700)), np.uint8)
    white = write(large, 0.4)
    assert find(large)[white].mean() > 0.95


def test_a_bar_over_the_eyes_stays() -> None:
    picture = FACE.draw(plain_ground(512, 512))
    picture[190:230, 150:360] = 0

    assert find(picture)[190:230, 150:360].all()


def test_letters_that_touch_an_eye_take_nothing_of_it_along() -> None:
    picture = FACE.draw(plain_ground(512, 512))
    picture[210:250, 150:360] = (170, 190, 220)
    for left in (160, 210, 260, 310):
        picture[210:250, left : left + 30] = 255
    picture[180:210, 170:185] = 255  # something white above a letter, and of one piece with it

    mask = find(picture)

    assert mask[212:248, 162:188].all()
    assert not mask[:205].any()


@pytest.mark.parametrize("number", range(20))
def test_nothing_of_a_face_is_taken_for_an_overlay(number: int) -> None:
    """Open mouths with teeth, glasses, black and white beards and brows, in bright and dim light."""
    rng, person = np.random.default_rng(number), identity(RESERVE.start + 500 + number)
    person = replace(
        person,
        glasses=number % 4,
        frame_colour=(0, 4)[number % 2],
        beard=(0, 4, 3, 2)[number // 4 % 4],
        brow_colour=(0, 6)[number // 2 % 2],
    )
    state = replace(clean(sample_state(rng)), opening=(0.4, 0.9)[number % 2], brightness=(1.0, 1.08, 0.82)[number % 3])
    unit = (60, 110, 180)[number % 3]
    placement = make_placement(unit, (0.0, 0.3)[number // 3 % 2], 1.7 * unit, 1.75 * unit)
    picture = draw(person, sample_carrier(rng, person), state, placement, (int(3.5 * unit), int(3.4 * unit)))
    height, width = picture.shape[:2]
    inverse = align.invert(align.alignment_matrix(keypoints(person, state, placement), 128))
    x0, y0, x1, y1 = align.bounding_box(inverse, 128, width, height)

    assert find_overlay(picture[y0:y1, x0:x1]) is None
