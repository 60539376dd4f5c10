"""Patches of frames, from which crops are cut later."""

from __future__ import annotations

import numpy as np
import pytest

from functions.swap.face.align import alignment_matrix, crop_with
from functions.swap.moving.patch import crop_frame, cut_patch, enlarge
from functions.swap.moving.store import PatchStore
from tests.unit.swap.face_fixtures import grainy_picture, keypoints_at

PICTURE = grainy_picture(640, 480)


@pytest.mark.parametrize("points", [keypoints_at(300, 200, 0.9, 0.3), keypoints_at(12, 470, 0.8, -0.2)])
def test_the_crop_of_a_small_face_is_that_of_a_still(points: np.ndarray) -> None:
    forward = alignment_matrix(points, 128)
    np.testing.assert_allclose(crop_frame(PICTURE, forward)[0], crop_with(PICTURE, forward, mirror_border=True), atol=2)


def test_the_crop_of_a_large_face_is_a_mean_and_not_a_sample() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3)).astype(np.uint8)
    forward = alignment_matrix(keypoints_at(450, 450, 4.0, 0.0), 128)
    assert crop_frame(noise, forward)[0].std() < 0.6 * crop_with(noise, forward).std()


@pytest.mark.parametrize("scale", [0.6, 2.0, 4.1])
def test_points_and_transforms_agree(scale: float) -> None:
    points = keypoints_at(320, 240, scale, 0.2)
    patch = cut_patch(PICTURE, alignment_matrix(points, 128), 1.25, 128)
    assert patch is not None
    for each in (patch, enlarge(patch, 2)):
        there = each.map_points(points)
        np.testing.assert_allclose(each.map_back(there), points, atol=1e-3)
        forward = alignment_matrix(points, 128)
        across = there @ each.map_transform(forward)[:, :2].T + each.map_transform(forward)[:, 2]
        np.testing.assert_allclose(across, points @ forward[:, :2].T + forward[:, 2], atol=1e-3)


def test_patches_of_one_size_have_one_shape_with_padding() -> None:
    inside, outside = (alignment_matrix(keypoints_at(x, 200, 1.0, 0.1), 128) for x in (320.0, 3.0))
    patches = [cut_patch(PICTURE, forward, 1.4, 96, pad=True) for forward in (inside, outside)]
    shapes = {patch.pixels.shape for patch in patches if patch}
    assert len(shapes) == 1


def test_outside_the_frame_there_is_no_patch() -> None:
    crop, patch = crop_frame(PICTURE, alignment_matrix(keypoints_at(-400, 200, 1.0, 0.0), 128))
    assert patch is None
    assert not crop.any()


def test_the_store_gives_back_what_it_got(tmp_path: object) -> None:
    import io

    store = PatchStore(io.BytesIO())
    patches = [cut_patch(PICTURE, alignment_matrix(keypoints_at(x, 200, 1.0, 0.1), 128), 1.25, 128) for x in (99, 300)]
    numbers = [store.add(patch) for patch in patches if patch]
    for number, patch in zip(reversed(numbers), reversed(patches), strict=True):
        again = store.read(number)
        assert patch is not None
        np.testing.assert_array_equal(again.pixels, patch.pixels)
        assert again[1:] == patch[1:]
