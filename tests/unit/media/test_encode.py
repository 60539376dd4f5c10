"""Results in every format, and the label that each of them carries."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from layers.core.errors import PictureTooLarge
from layers.media.decode import decode
from layers.media.encode import encode
from layers.media.formats import PICTURE_FORMATS, PictureFormat
from layers.media.picture import Picture
from layers.media.xmp_label import SOURCE_TYPE, find_source_type, label, read_label

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"


def picture(height: int = 33, width: int = 47, alpha: bool = False) -> Picture:
    pixels = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None] + np.array([0, 40, 90])
    cover = np.add.outer(np.arange(height) * 5, np.arange(width)) if alpha else None
    return Picture(
        pixels=np.clip(pixels, 0, 255).astype(np.uint8),
        alpha=None if cover is None else np.clip(cover, 0, 255).astype(np.uint8),
        digest="",
        format="png",
    )


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_a_labelled_picture_is_still_that_picture_to_another_reader(format: PictureFormat, alpha: bool) -> None:
    bare = encode(picture(alpha=alpha), format, 95)
    labelled = label(bare, format)
    with Image.open(io.BytesIO(bare)) as before, Image.open(io.BytesIO(labelled)) as after:
        assert after.format == before.format
        assert np.array_equal(np.asarray(before), np.asarray(after))
        description = ElementTree.fromstring(after.info["xmp"].decode()).find(f".//{{{RDF}}}Description")
        assert description is not None
        assert description.get(f"{{{IPTC}}}DigitalSourceType") == SOURCE_TYPE
    assert len(labelled) - len(bare) < 1000
    assert read_label(labelled) == SOURCE_TYPE
    assert read_label(bare) is None


def test_png_keeps_every_pixel_that_is_seen_and_its_alpha() -> None:
    original = picture(alpha=True)
    assert original.alpha is not None
    decoded = decode(label(encode(original, "png", 90), "png"), 10**8, 10**8)
    visible = original.alpha > 0
    assert np.array_equal(decoded.pixels[visible], original.pixels[visible])
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, original.alpha)


def test_webp_keeps_alpha() -> None:
    original = picture(alpha=True)
    assert original.alpha is not None
    decoded = decode(label(encode(original, "webp", 90), "webp"), 10**8, 10**8)
    assert decoded.alpha is not None
    assert np.array_equal(decoded.alpha, original.alpha)


def test_jpeg_shows_white_where_nothing_was() -> None:
    original = picture(alpha=True)
    assert original.alpha is not None
    cover = original.alpha[..., None].astype(float) / 255
    expected = original.pixels * cover + 255 * (1 - cover)
    decoded = decode(encode(original, "jpeg", 100), 10**8, 10**8)
    assert decoded.alpha is None
    assert np.abs(decoded.pixels - expected).mean() < 2


@pytest.mark.parametrize(
    ("format", "alpha", "mode"),
    [("jpeg", False, "L"), ("png", False, "L"), ("webp", False, "RGB"), ("jpeg", True, "L"), ("png", True, "RGBA")],
)
def test_a_grey_picture_stays_one_channel_where_the_format_can(format: PictureFormat, alpha: bool, mode: str) -> None:
    original = picture(alpha=alpha)
    with Image.open(io.BytesIO(encode(replace(original, grey=True), format, 95))) as image:
        assert image.mode == mode
        assert image.format == format.upper()
        assert np.ptp(np.asarray(image.convert("RGB")).astype(int), axis=2).max() <= 1
        expected = np.asarray(Image.fromarray(original.pixels[:, :, ::-1]).convert("L")).astype(int)
        if not alpha:
            assert np.abs(np.asarray(image.convert("L")) - expected).mean() < 2


def test_quality_costs_bytes() -> None:
    noise = Picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8), None, "", "png")
    for format in ("jpeg", "webp"):
        sizes = [len(encode(noise, "jpeg" if format == "jpeg" else "webp", quality)) for quality in (10, 50, 95)]
        assert sizes == sorted(sizes)
        assert sizes[0] < sizes[2] / 2


def test_what_a_format_cannot_hold_is_an_error_and_not_a_crash() -> None:
    wide = Picture(np.zeros((1, 16_384, 3), np.uint8), None, "", "png")
    with pytest.raises(PictureTooLarge):
        encode(wide, "webp", 90)
    assert encode(wide, "png", 90)


@given(
    height=st.integers(1, 40), width=st.integers(1, 40), alpha=st.booleans(), format=st.sampled_from(PICTURE_FORMATS)
)
@settings(max_examples=60)
def test_every_size_can_be_labelled_and_read_again(height: int, width: int, alpha: bool, format: PictureFormat) -> None:
    labelled = label(encode(picture(height, width, alpha), format, 80), format)
    decoded = decode(labelled, 10**8, 10**8)
    assert (decoded.height, decoded.width) == (height, width)
    assert read_label(labelled) == SOURCE_TYPE


def test_the_words_in_a_picture_without_the_label_are_not_one() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 9)).save(buffer, "JPEG", comment=b'DigitalSourceType="mine"')
    assert read_label(buffer.getvalue()) is None


@pytest.mark.parametrize("format", PICTURE_FORMATS)
@pytest.mark.parametrize("kind", ["trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"])
def test_a_claim_that_a_model_made_a_picture_is_noticed(format: PictureFormat, kind: str) -> None:
    source_type = f"http://cv.iptc.org/newscodes/digitalsourcetype/{kind}"
    bare = encode(picture(), format)
    labelled = label(bare, format, source_type)

    assert read_label(labelled) == source_type
    assert decode(labelled, 10**8, 10**8).traits.source_type == source_type
    assert decode(bare, 10**8, 10**8).traits.source_type is None


@pytest.mark.parametrize("kind", [b"digitalCapture", b"algorithmicMedia", b"humanEdits"])
def test_a_claim_that_no_model_made_it_is_none(kind: bytes) -> None:
    assert find_source_type(b"http://cv.iptc.org/newscodes/digitalsourcetype/" + kind) is None
