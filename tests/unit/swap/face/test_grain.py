"""A new face has the grain of the picture around it, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

from functions.swap.face import align
from functions.swap.face.grain import cut_tile, make_tile, measure_grain
from functions.swap.face.paste import paste
from functions.swap.values import Floats
from layers.media.picture import Pixels
from tests.unit.swap.face.drawn_swaps import IVY, NOOR, WALTER, Drawn, plain_ground, to_grey
from tests.unit.swap.face_fixtures import keypoints_at

SHAPE = (480, 640)


def white_noise(deviation: float, channels: int = 3) -> Floats:
    noise = np.random.default_rng(3).normal(0, deviation, (*SHAPE, channels)).astype(np.float32)
    return np.asarray(np.broadcast_to(noise, (*SHAPE, 3)), np.float32)


def soft_noise(deviation: float) -> Floats:
    """Grain wider than a pixel, as a scanned or enlarged picture has it."""
    noise = cv2.GaussianBlur(white_noise(1), (0, 0), 0.8)
    return np.asarray(noise * deviation / noise.std(), np.float32)


def add_noise(ground: Any, noise: Any) -> Pixels:
    return np.asarray(np.clip(np.rint(ground + noise), 0, 255), np.uint8)


def compress(picture: Pixels, quality: int) -> Pixels:
    file = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return np.asarray(cv2.imdecode(file, cv2.IMREAD_COLOR), np.uint8)


def replace_face(picture: Pixels) -> Pixels:
    """A plain face in another colour is put into the picture."""
    result = picture.copy()
    crop, forward = align.crop_face(picture, keypoints_at(320, 240, 2.5, 0.1), 128, mirror_border=True)
    swapped = np.full((128, 128, 3), (150, 150, 150) if (np.ptp(crop, 2) == 0).all() else (110, 130, 190), np.uint8)
    paste(result, crop, swapped, forward, color_match=False, soft_edges=True, detail="balanced")
    return result


@pytest.mark.parametrize(
    "make",
    [
        lambda: add_noise(100.0, white_noise(3)),
        lambda: add_noise(100.0, white_noise(9)),
        lambda: add_noise(100.0, white_noise(5, 1)),
        lambda: add_noise(plain_ground(*SHAPE), white_noise(5)),
        lambda: add_noise(100.0, soft_noise(5)),
        lambda: compress(add_noise(100.0, white_noise(6)), 85),
    ],
    ids=["fine", "strong", "grey", "on-a-gradient", "soft", "jpeg"],
)
def test_the_grain_in_the_face_is_that_of_the_ground(make: Callable[[], Pixels]) -> None:
    picture = make()

    result = replace_face(picture)

    levels = result.mean(2, dtype=np.float32)
    fine = levels - cv2.GaussianBlur(levels, (0, 0), 2)
    face, ground = fine[180:320, 260:380].std(), fine[:, :60].std()
    assert face == pytest.approx(ground, rel=0.2)
    if (picture == picture[:, :, :1]).all():
        assert (result == result[:, :, :1]).all()


@pytest.mark.parametrize("number", [IVY, NOOR, WALTER])
@pytest.mark.parametrize("change", [lambda picture: picture, to_grey, lambda picture: compress(picture, 90)])
def test_a_clean_picture_has_none(number: int, change: Callable[[Pixels], Pixels]) -> None:
    drawn = Drawn(number, 112, 256, 236, (512, 512))

    assert measure_grain(change(drawn.draw(plain_ground(512, 512)))) is None


def test_texture_is_no_grain() -> None:
    rough = add_noise(128.0, soft_noise(25))
    woven = add_noise(128.0, cv2.blur(white_noise(15), (1, 3)))

    assert measure_grain(rough) is None
    assert measure_grain(woven) is None


@pytest.mark.parametrize("level", [0.0, 255.0])
def test_black_and_white_areas_say_nothing_of_the_grain(level: float) -> None:
    picture = add_noise(120.0, white_noise(5))
    picture[:, :400] = np.uint8(level)
    grain = measure_grain(picture)

    assert grain is not None
    assert np.sqrt(np.trace(grain.mixture @ grain.mixture) / 3) == pytest.approx(5, rel=0.1)


def test_a_place_has_its_grain_whoever_asks() -> None:
    grain = measure_grain(add_noise(120.0, white_noise(5)))
    assert grain is not None
    tile = make_tile(grain)

    assert (cut_tile(make_tile(grain), 30, 10, 300, 400)[100:, 50:] == cut_tile(tile, 80, 110, 250, 300)).all()
    assert tile.std() == pytest.approx(5, rel=0.1)


def test_two_runs_are_equal() -> None:
    picture = add_noise(plain_ground(*SHAPE), white_noise(5))

    assert (replace_face(picture) == replace_face(picture)).all()
