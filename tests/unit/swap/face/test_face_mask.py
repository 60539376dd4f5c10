"""The blending masks, and where neighbouring faces meet."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.swap.face import align, face_mask
from functions.swap.face.face_mask import Neighbour, find_neighbours, share_mask
from functions.swap.values import Face
from tests.unit.swap.face.drawn_swaps import IVY, RUBY, Drawn, differences, plain_ground, swap
from tests.unit.swap.face_fixtures import keypoints_at


def test_the_feather_mask_is_opaque_over_the_face_and_transparent_at_the_rim() -> None:
    mask = face_mask.feather_mask()

    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()
    for x, y in align.TEMPLATE + np.array([8, 0]):
        assert mask[int(y), int(x)] > 250
    assert (np.diff(mask[64].astype(int))[:64] >= 0).all()
    assert np.abs(np.diff(mask.astype(int), axis=0)).max() <= 32
    assert (mask == mask.T).all()
    assert (mask == mask[::-1]).all()


def matrix_at(x: float, y: float, scale: float, angle: float = 0.0) -> align.Matrix:
    return align.alignment_matrix(keypoints_at(x, y, scale, angle), 128)


def test_a_face_alone_is_all_its_own() -> None:
    here, far = matrix_at(200, 200, 1), matrix_at(600, 200, 1)

    assert share_mask(here, []) is None
    assert share_mask(here, [Neighbour(far, swapped=False)]) is None


@settings(max_examples=60)
@given(st.floats(20, 90), st.floats(0.5, 2), st.floats(-np.pi, np.pi))
def test_two_replaced_faces_share_each_pixel_of_their_ovals(distance: float, scale: float, angle: float) -> None:
    one, other = matrix_at(200, 200, 1), matrix_at(200 + distance, 210, scale, angle)
    ours, theirs = share_mask(one, [Neighbour(other, True)]), share_mask(other, [Neighbour(one, True)])
    points = np.random.default_rng(5).uniform(120, 360, (400, 2))

    shares, radii = [], []
    for matrix, mask in ((one, ours), (other, theirs)):
        x, y = matrix[:, :2] @ points.T + matrix[:, 2:]
        radii.append(face_mask.oval_radius(x, y))
        inside = (x >= 0) & (y >= 0) & (x <= 127) & (y <= 127)
        mask = np.ones((128, 128), np.float32) if mask is None else mask
        value = cv2.remap(mask, x[None].astype(np.float32), y[None].astype(np.float32), cv2.INTER_LINEAR)[0]
        shares.append(np.where(inside, value, np.nan))

    both = (np.maximum(*radii) < 0.95) & ~np.isnan(shares).any(0)
    assert np.abs(shares[0] + shares[1] - 1)[both].max(initial=0) <= 0.1
    deep = radii[0] < radii[1] - 0.2
    assert (shares[0][deep & ~np.isnan(shares[0])] > 0.9).all()


def test_a_seam_is_smooth() -> None:
    share = share_mask(matrix_at(200, 200, 1), [Neighbour(matrix_at(260, 205, 1), swapped=False)])

    assert share is not None
    assert share.min() == 0
    assert share.max() == 1
    assert max(np.abs(np.diff(share, axis=axis)).max() for axis in (0, 1)) < 0.4


def test_a_neighbour_without_usable_keypoints_is_none() -> None:
    here, there = keypoints_at(200, 200, 1, 0), keypoints_at(260, 200, 1, 0)
    unusable = [np.full((5, 2), np.nan, np.float32), np.full((5, 2), 7, np.float32)]
    faces = [Face(at, (0, 0, 9, 9), points, 0.9) for at, points in enumerate([here, there, *unusable])]

    (neighbour,) = find_neighbours(faces[0], faces, [faces[0]])

    assert not neighbour.swapped
    np.testing.assert_array_equal(neighbour.forward, align.alignment_matrix(there, 128))


SHAPE = (450, 675)
BEHIND = Drawn(12, 75, 400, 225, SHAPE, hair=9)
IN_FRONT = Drawn(IVY, 75, 280, 240, SHAPE, hair=3)


@pytest.mark.parametrize("soft_edges", [True, pytest.param(False, marks=pytest.mark.full)])
@pytest.mark.parametrize("chosen", [0, 1], ids=["the-one-in-front", "the-one-behind"])
def test_a_face_that_was_not_chosen_is_not_painted_over(chosen: int, soft_edges: bool) -> None:
    ground = plain_ground(*SHAPE)
    picture = IN_FRONT.draw(BEHIND.draw(ground))
    cover = (IN_FRONT.draw(np.zeros_like(ground)) > 0).any(2)
    faces = [IN_FRONT.find_face(BEHIND.draw(ground)), BEHIND.find_face(ground) & ~cover]

    result = swap(picture, [IN_FRONT.keypoints, BEHIND.keypoints], [chosen], RUBY, soft_edges=soft_edges)

    _, change = differences(result, picture)
    assert (change > 5)[faces[1 - chosen]].mean() < 0.015  # 0.17 and 0.09 before
    assert (change > 5)[faces[chosen]].mean() > 0.4


def test_where_two_replaced_faces_meet_each_keeps_its_side() -> None:
    picture = IN_FRONT.draw(BEHIND.draw(plain_ground(*SHAPE)))
    points = [IN_FRONT.keypoints, BEHIND.keypoints]

    both = swap(picture, points, [0, 1], RUBY)
    reverse = swap(picture, points[::-1], [0, 1], RUBY)
    alone = [swap(picture, [five], [0], RUBY) for five in points]

    _, change = differences(both, reverse)
    assert np.percentile(change, 99.5) < 2  # the order in which they are pasted does not show
    for five, single in zip(points, alone, strict=True):
        x, y = np.rint(five[2]).astype(int)
        nose = slice(y - 15, y + 15), slice(x - 15, x + 15)
        assert np.abs(both[nose].astype(int) - single[nose]).max() <= 1
