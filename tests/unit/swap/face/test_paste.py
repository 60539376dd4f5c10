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

from functions.swap.face import align, cielab, face_mask, paste
from functions.swap.values import Detail, Floats
from layers.media.picture import Pixels
from tests.unit.swap import networks
from tests.unit.swap.face.drawn_swaps import IVY, RUBY, Drawn, plain_ground, swap
from tests.unit.swap.face_fixtures import grainy_picture, keypoints_at


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = networks.swapper(Path(tmp_path_factory.mktemp("nets")) / "swapper.onnx")
    return INSwapper(str(path), onnxruntime.InferenceSession(str(path)))


def paste_plainly(pixels: Pixels, keypoints: Floats, swapped: Pixels) -> Pixels:
    result = pixels.copy()
    crop, forward = align.crop_face(pixels, keypoints, 128)
    paste.paste(result, crop, swapped, forward, color_match=False, soft_edges=False, detail="fast")
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


@settings(max_examples=50)
@given(
    st.floats(-100, 740),
    st.floats(-100, 580),
    st.floats(0.36, 8),
    st.floats(-np.pi, np.pi),
    st.booleans(),
    st.booleans(),
    st.sampled_from(["fast", "balanced"]),
)
def test_nothing_outside_the_box_ever_changes(
    x: float, y: float, scale: float, angle: float, color_match: bool, soft_edges: bool, detail: Detail
) -> None:
    picture = grainy_picture(320, 240)
    before = picture.copy()
    crop, forward = align.crop_face(picture, keypoints_at(x / 2, y / 2, scale, angle), 128)
    swapped = np.full((128, 128, 3), 77, np.uint8)

    paste.paste(picture, crop, swapped, forward, color_match=color_match, soft_edges=soft_edges, detail=detail)

    x0, y0, x1, y1 = align.bounding_box(align.invert(forward), 128, 320, 240)
    picture[y0:y1, x0:x1] = before[y0:y1, x0:x1]
    assert (picture == before).all()


@pytest.mark.parametrize("soft_edges", [False, True])
def test_a_face_put_back_as_it_was_leaves_no_trace_but_resampling(soft_edges: bool) -> None:
    picture = cv2.GaussianBlur(grainy_picture(640, 480), (0, 0), 3).astype(np.uint8)
    before = picture.copy()
    crop, forward = align.crop_face(picture, keypoints_at(300, 220, 1.4, 0.3), 128)

    paste.paste(picture, crop, crop.copy(), forward, color_match=True, soft_edges=soft_edges, detail="fast")

    assert np.abs(picture.astype(int) - before).max() <= 6


@pytest.mark.parametrize("detail", ["fast", "balanced"])
def test_large_faces_are_pasted_in_bands_without_seams(detail: Detail, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = grainy_picture(640, 480)
    crop, forward = align.crop_face(picture, keypoints_at(320, 240, 3, 0.2), 128)
    swapped = grainy_picture(128, 128, seed=9)
    whole, banded = picture.copy(), picture.copy()

    monkeypatch.setattr(paste, "BAND_PIXELS", 1 << 30)
    monkeypatch.setattr(paste, "FINE_BAND_PIXELS", 1 << 30)
    paste.paste(whole, crop, swapped, forward, color_match=True, soft_edges=True, detail=detail)
    monkeypatch.setattr(paste, "BAND_PIXELS", 7_000)
    monkeypatch.setattr(paste, "FINE_BAND_PIXELS", 7_000)
    paste.paste(banded, crop, swapped, forward, color_match=True, soft_edges=True, detail=detail)

    assert np.abs(whole.astype(int) - banded).max() <= 1
    assert (whole != picture).any()


FRAMES = {"top": (0, 165, 512, 512), "left": (190, 0, 512, 512), "right": (0, 0, 322, 512), "bottom": (0, 0, 512, 320)}


@pytest.mark.parametrize("side", FRAMES)
def test_no_dark_line_shows_where_the_frame_cuts_a_face(side: str) -> None:
    drawn = Drawn(IVY, 112, 256, 236, (512, 512))
    whole = drawn.draw(plain_ground(512, 512))
    x0, y0, x1, y1 = FRAMES[side]
    cut, points = whole[y0:y1, x0:x1].copy(), drawn.keypoints - np.array([x0, y0], np.float32)

    result = swap(cut, [points], [0], RUBY)

    expected = swap(whole, [drawn.keypoints], [0], RUBY)[y0:y1, x0:x1]
    turns = ("top", "right", "bottom", "left").index(side)  # until that side is the first row
    ours, right = (np.rot90(cielab.bgr_to_lab(image), turns)[:2, :, 0] for image in (result, expected))
    darker = right - ours
    assert darker.mean() < 2  # 8 to 12 with black around the picture
    assert (darker > 15).mean() < 0.06


def test_a_crop_at_the_border_is_mirrored_only_where_asked() -> None:
    picture = grainy_picture(320, 240)
    points = keypoints_at(0, 120, 1.5, 0)

    black, matrix = align.crop_face(picture, points, 128)
    mirrored, same = align.crop_face(picture, points, 128, mirror_border=True)

    inside = face_mask.frame_mask(matrix, 320, 240)
    assert (matrix == same).all()
    assert (black[inside] == mirrored[inside]).all()
    assert (black[:, :10] == 0).all()
    assert mirrored[~inside].mean() == pytest.approx(mirrored[inside].mean(), rel=0.25)


@pytest.mark.parametrize(("options", "sharp"), [((False, False), False), ((True, False), True), ((False, True), True)])
def test_the_kernel_is_cubic_unless_both_options_are_off(options: tuple[bool, bool], sharp: bool) -> None:
    drawn = Drawn(IVY, 187, 256, 236, (512, 512))
    truth = drawn.draw(plain_ground(512, 512))
    crop, forward = align.crop_face(truth, drawn.keypoints, 128)
    result = truth.copy()

    paste.paste(result, crop, crop, forward, color_match=options[0], soft_edges=options[1], detail="fast")

    face = np.s_[150:330, 150:360]
    kernel = cv2.INTER_CUBIC if sharp else cv2.INTER_LINEAR
    expected = cv2.warpAffine(crop, align.invert(forward), (512, 512), flags=kernel)
    assert np.abs(result[face].astype(int) - expected[face]).max() <= 3
    other = cv2.warpAffine(
        crop, align.invert(forward), (512, 512), flags=cv2.INTER_LINEAR if sharp else cv2.INTER_CUBIC
    )
    assert np.abs(other[face].astype(int) - expected[face]).max() > 10
