"""Paste-back against insightface's INSwapper, and what its options promise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from insightface.app.common import Face as TheirFace
from insightface.model_zoo.inswapper import INSwapper

from functions.swap.face import align, paste
from functions.swap.values import Floats
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import grainy_picture, keypoints_at


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = networks.swapper(Path(tmp_path_factory.mktemp("nets")) / "swapper.onnx")
    return INSwapper(str(path), onnxruntime.InferenceSession(str(path)))


def paste_plainly(pixels: Pixels, keypoints: Floats, swapped: Pixels) -> Pixels:
    result = pixels.copy()
    crop, forward = align.crop_face(pixels, keypoints, 128)
    paste.paste(result, crop, swapped, forward, color_match=False, soft_edges=False)
    return result


@pytest.mark.parametrize(
    "keypoints",
    [
        keypoints_at(300, 220, 1.0, 0.0),
        keypoints_at(300, 220, 2.2, 0.35),
        keypoints_at(320, 240, 0.5, -0.6),
        keypoints_at(310, 200, 3.4, np.pi),
        keypoints_at(5, 220, 1.5, 0.1),
        keypoints_at(600, 470, 2.0, -0.2),
        keypoints_at(320, 240, 7.0, 0.05),
    ],
    ids=["upright", "turned", "small", "upside-down", "left-edge", "corner", "larger-than-the-frame"],
)
def test_plain_paste_is_insightface_within_two_levels(theirs: Any, keypoints: Floats) -> None:
    picture = grainy_picture(640, 480)
    embedding = np.random.default_rng(1).normal(size=512).astype(np.float32)
    expected = theirs.get(picture.copy(), TheirFace(kps=keypoints), TheirFace(embedding=embedding), paste_back=True)

    crop, _ = align.crop_face(picture, keypoints, 128)
    latent = (embedding / np.linalg.norm(embedding)) @ theirs.emap
    latent /= np.linalg.norm(latent)
    out = theirs.session.run(None, {"target": align.to_planes(crop), "source": latent[None]})[0]
    result = paste_plainly(picture, keypoints, align.to_pixels(out))

    difference = np.abs(result.astype(int) - expected)
    assert difference.max() <= 2
    inverse = align.invert(align.alignment_matrix(keypoints, 128))
    x0, y0, x1, y1 = align.bounding_box(inverse, 128, 640, 480)
    outside = np.ones((480, 640), bool)
    outside[y0:y1, x0:x1] = False
    assert (result[outside] == picture[outside]).all()
    assert (expected[outside] == picture[outside]).all()
    assert (expected != picture).any()


@settings(max_examples=50, deadline=None)
@given(
    st.floats(-100, 740),
    st.floats(-100, 580),
    st.floats(0.36, 8),
    st.floats(-np.pi, np.pi),
    st.booleans(),
    st.booleans(),
)
def test_nothing_outside_the_box_ever_changes(
    x: float, y: float, scale: float, angle: float, color_match: bool, soft_edges: bool
) -> None:
    picture = grainy_picture(320, 240)
    before = picture.copy()
    crop, forward = align.crop_face(picture, keypoints_at(x / 2, y / 2, scale, angle), 128)
    swapped = np.full((128, 128, 3), 77, np.uint8)

    paste.paste(picture, crop, swapped, forward, color_match=color_match, soft_edges=soft_edges)

    x0, y0, x1, y1 = align.bounding_box(align.invert(forward), 128, 320, 240)
    picture[y0:y1, x0:x1] = before[y0:y1, x0:x1]
    assert (picture == before).all()


@pytest.mark.parametrize("soft_edges", [False, True])
def test_a_face_put_back_as_it_was_leaves_no_trace_but_resampling(soft_edges: bool) -> None:
    picture = cv2.GaussianBlur(grainy_picture(640, 480), (0, 0), 3).astype(np.uint8)
    before = picture.copy()
    crop, forward = align.crop_face(picture, keypoints_at(300, 220, 1.4, 0.3), 128)

    paste.paste(picture, crop, crop.copy(), forward, color_match=True, soft_edges=soft_edges)

    assert np.abs(picture.astype(int) - before).max() <= 6


def test_large_faces_are_pasted_in_bands_without_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = grainy_picture(640, 480)
    crop, forward = align.crop_face(picture, keypoints_at(320, 240, 3, 0.2), 128)
    swapped = grainy_picture(128, 128, seed=9)
    whole, banded = picture.copy(), picture.copy()

    monkeypatch.setattr(paste, "BAND_PIXELS", 1 << 30)
    paste.paste(whole, crop, swapped, forward, color_match=True, soft_edges=True)
    monkeypatch.setattr(paste, "BAND_PIXELS", 7_000)
    paste.paste(banded, crop, swapped, forward, color_match=True, soft_edges=True)

    assert np.abs(whole.astype(int) - banded).max() <= 1
    assert (whole != picture).any()


def test_the_feather_mask_is_opaque_over_the_face_and_transparent_at_the_rim() -> None:
    mask = paste.feather_mask()

    assert (mask[[0, -1]] == 0).all()
    assert (mask[:, [0, -1]] == 0).all()
    for x, y in align.TEMPLATE + np.array([8, 0]):
        assert mask[int(y), int(x)] > 250
    assert (np.diff(mask[64].astype(int))[:64] >= 0).all()
    assert np.abs(np.diff(mask.astype(int), axis=0)).max() <= 32
    assert (mask == mask.T).all()
    assert (mask == mask[::-1]).all()


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

    result = paste.match_color(swapped, target, EVERYWHERE).astype(int)

    for x, y in ((64, 72), (40, 70), (64, 30)):
        assert np.abs(result[y, x] - TANNED).max() <= 3
    assert np.abs(result[108, 64] - BEARD).max() <= 3
    outside = np.hypot((np.arange(128)[None, :] - 64) / 52, (np.arange(128)[:, None] - 68) / 62) > 1
    assert (np.abs(result - swapped)[outside] <= 1).all()


def test_colour_match_leaves_what_the_swapper_did_not_change() -> None:
    portraits = portrait(TANNED, BEARD)

    assert np.abs(paste.match_color(portraits, portraits, EVERYWHERE).astype(int) - portraits).max() <= 1


def test_colour_match_looks_only_where_the_picture_is() -> None:
    picture = np.full((240, 320, 3), TANNED, np.uint8)
    crop, forward = align.crop_face(picture, keypoints_at(0, 120, 1.5, 0), 128)  # half of the face is outside
    assert (crop[:, :30] == 0).all()

    result = paste.match_color(np.full((128, 128, 3), SKIN, np.uint8), crop, paste.frame_mask(forward, 320, 240))

    assert np.abs(result[64, 100].astype(int) - TANNED).max() <= 2


def test_colour_match_without_cheeks_in_the_frame_changes_nothing() -> None:
    swapped = portrait(SKIN, BEARD)

    assert paste.match_color(swapped, portrait(TANNED, BEARD), np.zeros((128, 128), bool)) is swapped


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 255), st.integers(0, 255))
def test_colour_match_of_flat_colours_comes_near_them(ours: int, theirs: int) -> None:
    swapped, target = (np.full((128, 128, 3), level, np.uint8) for level in (ours, theirs))

    result = paste.match_color(swapped, target, EVERYWHERE)

    assert np.abs(result.astype(int) - theirs).max() <= 8  # what the eye would not see is left
