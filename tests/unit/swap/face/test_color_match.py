"""What colour match moves, on colours that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.swap.face import align, cielab, color_match, face_mask
from functions.swap.values import Floats
from layers.media.picture import Pixels
from tests.unit.swap.face.drawn_swaps import (
    IVY,
    NOOR,
    RUBY,
    SMILING,
    WALTER,
    Drawn,
    differences,
    plain_ground,
    swap,
    to_grey,
    to_sepia,
)
from tests.unit.swap.face_fixtures import keypoints_at

SKIN, TANNED, BACKGROUND, BEARD = (150, 180, 225), (90, 125, 170), (200, 120, 60), (20, 30, 120)
EVERYWHERE = np.ones((128, 128), bool)


def portrait(skin: tuple[int, int, int], beard: tuple[int, int, int]) -> Pixels:
    """A round face before a background, in uint8 BGR [128, 128, 3]."""
    pixels = np.full((128, 128, 3), BACKGROUND, np.uint8)
    cv2.ellipse(pixels, (64, 68), (44, 54), 0, 0, 360, skin, -1)
    cv2.ellipse(pixels, (64, 108), (26, 14), 0, 0, 360, beard, -1)
    return pixels


def test_colour_match_gives_the_skin_the_targets_colour_and_leaves_the_rest() -> None:
    target, swapped = portrait(TANNED, TANNED), portrait(SKIN, BEARD)

    result = color_match.match_color(swapped, target, EVERYWHERE).astype(int)

    for x, y in ((64, 72), (40, 70), (64, 30)):
        assert np.abs(result[y, x] - TANNED).max() <= 3
    assert np.abs(result[108, 64] - BEARD).max() <= 10
    outside = np.hypot((np.arange(128)[None, :] - 64) / 52, (np.arange(128)[:, None] - 68) / 62) > 1
    assert (np.abs(result - swapped)[outside] <= 1).all()


def test_colour_match_leaves_what_the_swapper_did_not_change() -> None:
    portraits = portrait(TANNED, BEARD)

    assert np.abs(color_match.match_color(portraits, portraits, EVERYWHERE).astype(int) - portraits).max() <= 1


def soft_portrait(skin: tuple[int, int, int]) -> Pixels:
    """A round face with ears, whose rim is part skin and part background."""
    mask = np.zeros((512, 512), np.float32)
    cv2.ellipse(mask, (256, 272), (172, 212), 0, 0, 360, (1.0,), -1)
    for x in (84, 428):
        cv2.circle(mask, (x, 250), 34, (1.0,), -1)
    share = cv2.resize(mask, (128, 128), interpolation=cv2.INTER_AREA)[:, :, None]
    return np.asarray(np.rint(share * skin + (1 - share) * BACKGROUND), np.uint8)


@pytest.mark.parametrize(("ours", "theirs"), [(SKIN, TANNED), (TANNED, SKIN)])
def test_no_rim_and_no_ear_keeps_the_sources_colour(ours: tuple[int, int, int], theirs: tuple[int, int, int]) -> None:
    swapped, target = soft_portrait(ours), soft_portrait(theirs)

    result = color_match.match_color(swapped, target, EVERYWHERE)

    assert np.abs(result.astype(int) - target).max() <= 18  # CIELAB is not linear in a mixture
    assert np.abs(swapped.astype(int) - target)[62, 14].max() > 50  # an ear


@pytest.mark.parametrize("level", [SKIN, (30, 30, 30), (240, 240, 240)])
def test_old_glasses_leave_no_ghost_in_the_new_skin(level: tuple[int, int, int]) -> None:
    swapped, target = soft_portrait(SKIN), soft_portrait(TANNED)
    for x in (46, 82):
        cv2.circle(target, (x, 50), 12, level, 3)

    result = color_match.match_color(swapped, target, EVERYWHERE)

    assert np.abs(result[30:100, 34:94].astype(int) - TANNED).max() <= 12


def test_colour_match_looks_only_where_the_picture_is() -> None:
    picture = np.full((240, 320, 3), TANNED, np.uint8)
    crop, forward = align.crop_face(picture, keypoints_at(0, 120, 1.5, 0), 128)  # half of the face is outside
    assert (crop[:, :30] == 0).all()

    result = color_match.match_color(
        np.full((128, 128, 3), SKIN, np.uint8), crop, face_mask.frame_mask(forward, 320, 240)
    )

    assert np.abs(result[64, 100].astype(int) - TANNED).max() <= 2


def test_colour_match_without_cheeks_in_the_frame_changes_nothing() -> None:
    swapped = portrait(SKIN, BEARD)

    assert color_match.match_color(swapped, portrait(TANNED, BEARD), np.zeros((128, 128), bool)) is swapped


@settings(max_examples=30)
@given(st.integers(10, 245), st.integers(10, 245))
def test_colour_match_of_flat_colours_comes_near_them(ours: int, theirs: int) -> None:
    swapped, target = (np.full((128, 128, 3), level, np.uint8) for level in (ours, theirs))

    result = color_match.match_color(swapped, target, EVERYWHERE)

    assert np.abs(result[80, 64].astype(int) - theirs).max() <= 22  # what inswapper changes anywhere is left
    assert (np.sign(result.astype(int) - ours) * np.sign(theirs - ours) >= 0).all()


SIDE_LIT = replace(SMILING, light=0.26, light_x=1.0, light_y=-0.2)
PAIRS = ((NOOR, IVY, 9), (IVY, NOOR, 5), (RUBY, WALTER, 3))
KINDS: dict[str, Callable[[Pixels], Pixels]] = {"plain": np.copy, "side": np.copy, "grey": to_grey, "sepia": to_sepia}


def in_tint_of(picture: Pixels, result: Pixels) -> Pixels:
    """A result with the tint of a picture that has one: what has no other colour can only move in lightness."""
    lab = cielab.bgr_to_lab(picture)
    tint = color_match.find_tint(lab, np.ones(lab.shape[:2], bool))
    assert tint is not None
    return cielab.lab_to_bgr(color_match.project_on_tint(cielab.bgr_to_lab(result), tint))


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        ("plain", 100),
        pytest.param("plain", 300, marks=pytest.mark.full),
        ("side", 120),
        ("sepia", 120),
        pytest.param("grey", 120, marks=pytest.mark.full),
    ],
)
def test_hair_and_ground_move_only_towards_the_picture(kind: str, size: int) -> None:
    moved = total = 0
    for source, target, hair in PAIRS:
        hair_colour = 4 if target == NOOR else 2  # lighter than her skin, from which grey could not tell it otherwise
        side = int(size * 1.9)
        state = SIDE_LIT if kind == "side" else SMILING
        drawn = Drawn(target, size / 2.2, side / 2, side * 0.46, (side, side), hair, state, hair_colour)
        ground = plain_ground(side, side)
        picture = KINDS[kind](drawn.draw(ground))
        on, off = (swap(picture, [drawn.keypoints], [0], source, color_match=match) for match in (True, False))
        off = off if kind in ("plain", "side") else in_tint_of(picture, off)
        lightness, distance = differences(on, off)
        nearer = differences(on, picture)[1] <= differences(off, picture)[1]  # what the swapper spilled over is undone
        x0, y0, x1, y1 = align.bounding_box(align.invert(align.alignment_matrix(drawn.keypoints, 128)), 128, side, side)
        rest = ~drawn.find_face(ground)[y0:y1, x0:x1]
        moved += (((lightness > 15) | (distance > 5)) & ~nearer)[y0:y1, x0:x1][rest].sum()
        total += rest.sum()

    assert moved < 0.005 * total  # 0.04 to 0.15 before there was an oval


def test_hair_of_the_sources_skin_colour_stays() -> None:
    drawn = Drawn(12, 92, 157, 262, (560, 314))
    ground = plain_ground(560, 314)
    picture, hair = drawn.draw(ground), drawn.find_hair(ground)

    result = swap(picture, [drawn.keypoints], [0], NOOR)

    lightness, _ = differences(result, picture)
    assert (lightness > 15)[hair].mean() < 0.02  # 0.25 before
    skin = drawn.find_face(ground)
    assert np.median(lightness[skin]) < 10


def step_over(lab: Floats, forward: align.Matrix, inner: Floats, outer: Floats) -> Floats:
    """Differences of colour, float32 [N, 3] in CIELAB, between points on two curves, [2, N] in pixels of the crop."""
    sides = []
    for curve in (inner, outer):
        xs, ys = (align.invert(forward) @ np.vstack([curve, np.ones(curve.shape[1])])).astype(np.float32)
        sides.append(cv2.remap(lab, xs[None], ys[None], cv2.INTER_LINEAR)[0])
    return np.asarray(sides[0] - sides[1], np.float32)


@pytest.mark.parametrize(("source", "target", "hair"), PAIRS)
def test_no_step_shows_over_the_seam(source: int, target: int, hair: int) -> None:
    drawn = Drawn(target, 90, 190, 175, (380, 380), hair)
    picture = drawn.draw(plain_ground(380, 380))
    circle = np.stack([wave(np.linspace(0, 2 * np.pi, 200, endpoint=False)) for wave in (np.cos, np.sin)])
    superellipse = 63.5 + np.sign(circle) * np.abs(circle) ** (2 / face_mask.FEATHER_EXPONENT) * [[[54]], [[60]]]
    oval = np.array([[64], [72]]) + circle * np.array([[45], [60]]) * [[[0.97]], [[1.03]]]

    result = swap(picture, [drawn.keypoints], [0], source)

    forward = align.alignment_matrix(drawn.keypoints, 128)
    for curves in (superellipse, oval):
        before, after = (step_over(cielab.bgr_to_lab(image), forward, *curves) for image in (picture, result))
        assert np.median(np.sqrt(np.square(after - before).sum(1))) <= 2


def test_a_grey_picture_gets_a_grey_face() -> None:
    drawn = Drawn(12, 80, 160, 150, (320, 320))
    picture = to_grey(drawn.draw(plain_ground(320, 320)))

    result = swap(picture, [drawn.keypoints], [0], RUBY)

    assert np.ptp(result, axis=2).max() == 0
    assert np.ptp(swap(picture, [drawn.keypoints], [0], RUBY, color_match=False), axis=2).max() > 50


@pytest.mark.parametrize("quality", [None, 90, 75])
def test_a_sepia_picture_stays_sepia(quality: int | None) -> None:
    drawn = Drawn(12, 100, 200, 190, (400, 400))
    picture = to_sepia(drawn.draw(plain_ground(400, 400)))
    if quality:
        picture = np.asarray(cv2.imdecode(cv2.imencode(".jpg", picture, [1, quality])[1], cv2.IMREAD_COLOR), np.uint8)

    result = swap(picture, [drawn.keypoints], [0], RUBY)

    expected = to_sepia(to_grey(result))  # which keeps the highest channel of any sepia, but for a factor
    factor = result[:, :, 2].astype(float).sum() / expected[:, :, 2].sum()
    _, distance = differences(result, np.clip(expected * factor, 0, 255).astype(np.uint8))
    assert np.percentile(distance, 99) < 6
    _, without = differences(swap(picture, [drawn.keypoints], [0], RUBY, color_match=False), result)
    assert np.percentile(without, 99) > 20


def test_colours_of_a_face_are_no_tint() -> None:
    for number in (RUBY, NOOR, IVY, WALTER):
        drawn = Drawn(number, 46, 64, 58, (128, 128))
        picture = drawn.draw(plain_ground(128, 128))
        assert color_match.find_tint(cielab.bgr_to_lab(picture), EVERYWHERE) is None


@pytest.mark.parametrize("source", [RUBY, NOOR, WALTER])
def test_a_caption_over_the_cheeks_does_not_grey_the_skin(source: int) -> None:
    drawn = Drawn(IVY, 112, 256, 236, (512, 512))
    picture = drawn.draw(plain_ground(512, 512))
    captioned = picture.copy()
    for colour, weight in (((0, 0, 0), 22), ((255, 255, 255), 14)):
        cv2.putText(captioned, "NOPE", (140, 300), cv2.FONT_HERSHEY_DUPLEX, 2.9, colour, weight, cv2.LINE_AA)
    chin = slice(325, 350), slice(235, 277)

    colours = [
        np.median(cielab.bgr_to_lab(swap(image, [drawn.keypoints], [0], source))[chin], (0, 1))
        for image in (picture, captioned)
    ]

    assert np.abs(colours[0] - colours[1]).max() <= 3  # 13 in b before
