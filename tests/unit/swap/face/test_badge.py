"""The visible badge."""

from __future__ import annotations

from itertools import product
from typing import Any

import cv2
import numpy as np
import pytest

from functions.swap.face.badge import draw_badge
from functions.swap.values import Box, SwapRequest
from tests.unit.swap.fake_stack import OUTPUTS, FakeSwapStack, decode
from tests.unit.swap.test_pipeline import MEME, swap


def plain_picture(width: int, height: int, level: int = 128) -> Any:
    return np.full((height, width, 3), level, np.uint8)


def corner(box: Box, width: int, height: int) -> str:
    across, down = (box[0] + box[2]) / 2 > width / 2, (box[1] + box[3]) / 2 > height / 2
    return ("top ", "bottom ")[down] + ("left", "right")[across]


EVERYWHERE: dict[str, Box] = {
    "bottom right": (350, 250, 400, 300),
    "bottom left": (0, 250, 50, 300),
    "top right": (350, 0, 400, 50),
    "top left": (0, 0, 50, 50),
}


@pytest.mark.parametrize("occupied", range(4))
def test_the_first_corner_without_a_face_is_taken(occupied: int) -> None:
    pixels, names = plain_picture(400, 300), list(EVERYWHERE)
    assert (
        corner(draw_badge(pixels, None, [EVERYWHERE[name] for name in names[:occupied]]), 400, 300) == names[occupied]
    )


def test_where_every_corner_has_a_face_the_least_covered_one_is_taken() -> None:
    faces = [*EVERYWHERE.values()]
    faces[2] = (394, 0, 400, 8)
    assert corner(draw_badge(plain_picture(400, 300), None, faces), 400, 300) == "top right"


@pytest.mark.parametrize(
    ("size", "level"),
    [
        *product([(16, 16), (20, 300), (300, 20), (400, 300), (1080, 1350)], [0, 128, 255]),
        ((6000, 4000), 128),
    ],
)
def test_it_is_small_within_the_frame_and_legible_on_any_ground(size: tuple[int, int], level: int) -> None:
    pixels = plain_picture(*size, level)
    x0, y0, x1, y1 = (int(side) for side in draw_badge(pixels, None, []))
    assert 0 <= x0 < x1 <= size[0]
    assert 0 <= y0 < y1 <= size[1]
    assert (y1 - y0) <= max(0.06 * min(size), 14)
    outside = np.ones(pixels.shape[:2], bool)
    outside[y0:y1, x0:x1] = False
    assert (pixels[outside] == level).all()
    inside = pixels[y0:y1, x0:x1].astype(int)
    if y1 - y0 >= 12:
        assert inside.max() - np.median(inside) > 90  # light letters on a plate that is darker


def test_the_letters_are_an_a_and_an_i() -> None:
    """By their shapes: one with a hole and two feet, one that is a bar."""
    pixels = plain_picture(3000, 2400, 90)
    x0, y0, x1, y1 = (int(side) for side in draw_badge(pixels, None, []))
    letters = (pixels[y0:y1, x0:x1, 0] > 180).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(letters)
    assert count == 3
    a, i = sorted(range(1, 3), key=lambda number: stats[number, cv2.CC_STAT_LEFT])
    _, hierarchy = cv2.findContours((labels == a).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    assert (hierarchy[0, :, 3] >= 0).sum() == 1
    assert stats[i, cv2.CC_STAT_HEIGHT] > 3 * stats[i, cv2.CC_STAT_WIDTH]
    assert abs(int(stats[a, cv2.CC_STAT_HEIGHT]) - int(stats[i, cv2.CC_STAT_HEIGHT])) <= 4


def test_it_is_opaque_where_the_picture_is_not() -> None:
    pixels, alpha = plain_picture(400, 300), np.zeros((300, 400), np.uint8)
    x0, y0, x1, y1 = (int(side) for side in draw_badge(pixels, alpha, []))
    inside = alpha[y0:y1, x0:x1]
    assert inside.max() == 255
    assert np.median(inside) > 100
    inside[:] = 0
    assert not alpha.any()


def test_a_swap_has_it_only_where_it_was_asked_for() -> None:
    stacks = FakeSwapStack(), FakeSwapStack()
    for stack, badge in zip(stacks, (False, True), strict=True):
        swap(stack, SwapRequest(MEME, badge=badge))
    bare, marked = (decode(stack.storage.objects[OUTPUTS, "swaps/1.png"].data).astype(int) for stack in stacks)
    changed = np.abs(bare - marked).max(2) > 0
    assert changed[270:, 350:].any()
    assert not changed[:270].any()
    assert not changed[:, :350].any()
