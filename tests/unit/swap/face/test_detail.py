"""The picture's own detail stays where the swapper changed nothing, and the old face's nowhere."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from functions.swap.face import align
from functions.swap.face.detail import find_change
from functions.swap.face.paste import paste
from functions.swap.values import Detail, Floats
from layers.media.picture import Pixels
from tests.unit.swap.face.drawn_swaps import IVY, RUBY, Drawn, plain_ground, swap
from tests.unit.swap.face_fixtures import keypoints_at

POINTS = keypoints_at(320, 240, 2.5, 0.1)


def striped_picture(height: int = 480, width: int = 640) -> Pixels:
    """Grey with fine stripes, which no crop of a large face can show."""
    stripes = 128 + 20 * np.cos(np.arange(width) * 2 * np.pi / 3)
    return np.asarray(np.broadcast_to(np.rint(stripes)[None, :, None], (height, width, 3)), np.uint8).copy()


def put_back(picture: Pixels, swapped: Pixels, detail: Detail = "balanced") -> Pixels:
    result = picture.copy()
    crop, forward = align.crop_face(picture, POINTS, 128, mirror_border=True)
    paste(result, crop, swapped, forward, color_match=False, soft_edges=True, detail=detail)
    return result


def in_picture(ellipse: tuple[float, float, float, float]) -> NDArray[np.bool_]:
    """An ellipse of the crop (x, y, half width, half height), bool [480, 640]."""
    rows, columns = np.mgrid[:128, :128]
    x, y, wide, high = ellipse
    inside = (np.hypot((columns - x) / wide, (rows - y) / high) <= 1).astype(np.uint8)
    inverse = align.invert(align.alignment_matrix(POINTS, 128))
    return np.asarray(cv2.warpAffine(inside, inverse, (640, 480)) > 0)


def fine(picture: Pixels, channel: int = 1) -> Floats:
    """What is finer than a few pixels in a channel."""
    levels = picture[:, :, channel].astype(np.float32)
    return np.asarray(levels - cv2.GaussianBlur(levels, (0, 0), 3), np.float32)


def test_what_the_swapper_left_alone_stays_pixel_for_pixel() -> None:
    picture = striped_picture()
    crop, _ = align.crop_face(picture, POINTS, 128, mirror_border=True)

    result = put_back(picture, crop)

    features = in_picture((64, 68, 54, 50))
    assert np.abs(result.astype(int) - picture)[~features].max() <= 1


@pytest.mark.parametrize("feature", [(46, 47, 15, 11), (82, 47, 15, 11), (64, 68, 9, 10), (64, 93, 20, 10)])
def test_no_detail_comes_back_over_brows_eyes_nose_and_mouth(feature: tuple[float, float, float, float]) -> None:
    picture = striped_picture()
    crop, _ = align.crop_face(picture, POINTS, 128, mirror_border=True)

    balanced, fast = (put_back(picture, crop, detail) for detail in ("balanced", "fast"))

    assert np.abs(balanced.astype(int) - fast)[in_picture(feature)].max() <= 1


def test_no_detail_comes_back_where_the_swapper_painted_something_new() -> None:
    picture = striped_picture()
    crop, _ = align.crop_face(picture, POINTS, 128, mirror_border=True)
    swapped = crop.copy()
    cv2.circle(swapped, (64, 24), 10, (60, 90, 200), -1)

    result = put_back(picture, swapped)

    assert fine(result)[in_picture((64, 24, 7, 7))].std() < 0.1 * fine(picture).std()
    assert np.abs(result[in_picture((64, 24, 5, 5))].astype(int) - (60, 90, 200)).max() <= 3


def bordered_picture(face: tuple[int, int, int]) -> Pixels:
    """A face with a hard edge before a plain background."""
    picture = np.full((480, 640, 3), (200, 120, 60), np.uint8)
    cv2.ellipse(picture, (320, 245), (110, 140), 0, 0, 360, face, -1, cv2.LINE_AA)
    return picture


@pytest.mark.parametrize(("beard", "most"), [((40, 40, 50), 0.8), ((60, 130, 180), 0.4), ((90, 150, 240), 0.4)])
def test_a_jaw_stays_sharp_when_the_cheek_has_another_colour(beard: tuple[int, int, int], most: float) -> None:
    picture, truth = bordered_picture((120, 160, 215)), bordered_picture(beard)
    swapped = cv2.GaussianBlur(align.crop_face(truth, POINTS, 128, mirror_border=True)[0], (0, 0), 0.7)

    result = put_back(picture, np.asarray(swapped, np.uint8))

    jaw = np.s_[290:370, 180:460]  # between mouth and rim of the crop
    blurred = put_back(picture, np.asarray(swapped, np.uint8), "fast")
    error, before = (
        sum(np.square(fine(each, channel) - fine(truth, channel))[jaw].sum() for channel in range(3))
        for each in (result, blurred)
    )
    assert error < most * before  # 1.4 for the beard and 0.6 while only equal colours counted


def test_around_the_face_small_changes_are_dropped_and_large_ones_stay() -> None:
    crop = np.full((128, 128, 3), 120, np.uint8)
    tinted, painted = (crop + 9).astype(np.uint8), crop.copy()
    painted[:, :20] = (20, 20, 230)

    small, large = (find_change(swapped, crop, crop) for swapped in (tinted, painted))

    for change, swapped, inside in ((small, crop, np.s_[5:15, 5:15]), (large, painted, np.s_[40:80, 2:10])):
        result = change.added + change.weight * crop
        assert np.abs(result - swapped)[inside].max() < 2
    assert (small.added + small.weight * crop)[72, 64] == pytest.approx(129, abs=0.5)


def test_a_replaced_neighbour_leaves_no_trace_of_the_old_one() -> None:
    before = np.full((128, 128, 3), 120, np.uint8)
    now = before.copy()
    now[:, 100:] = (40, 160, 70)  # the neighbour, replaced since the crop was taken

    change = find_change(before, before, now)

    result = change.added + change.weight * now
    assert np.abs(result[40:100, 50:90] - before[40:100, 50:90]).max() < 2
    assert np.abs(result[40:100, 120:] - now[40:100, 120:]).max() < 2


def test_a_large_face_is_as_sharp_as_the_picture_around_it() -> None:
    drawn = Drawn(IVY, 178, 360, 360, (760, 720))
    ground = plain_ground(760, 720)
    picture = drawn.draw(ground)
    swaps: dict[Detail, Pixels] = {
        detail: swap(picture, [drawn.keypoints], [0], RUBY, detail=detail) for detail in ("fast", "balanced")
    }

    hair = drawn.find_hair(ground)
    right = fine(picture)[hair].std()
    assert fine(swaps["balanced"])[hair].std() > 0.9 * right
    assert fine(swaps["fast"])[hair].std() < 0.8 * right


def test_a_larger_face_takes_no_more_memory_than_its_mask() -> None:
    def peak(side: int) -> float:
        picture = np.zeros((side, side, 3), np.uint8)
        points = ((align.TEMPLATE - 56) * side / 128 + side / 2).astype(np.float32)
        crop, forward = align.crop_face(picture, points, 128, mirror_border=True)
        tracemalloc.start()
        paste(picture, crop, crop, forward, color_match=False, soft_edges=True, detail="balanced")
        megabytes = (tracemalloc.get_traced_memory()[1] - side * side) / 1e6
        tracemalloc.stop()
        return megabytes

    peak(128)  # the constants
    assert peak(1600) < peak(800) + 1
