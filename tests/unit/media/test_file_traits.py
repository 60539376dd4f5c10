"""What a result keeps of the way in which its picture came."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from layers.media.decode import decode
from layers.media.encode import DEFAULT_QUALITY, encode
from layers.media.formats import PictureFormat
from layers.media.jpeg_quality import estimate_quality
from layers.media.picture import Picture, Pixels
from layers.media.xmp_label import label

HUGE = 10**9
SAMPLINGS = {"4:4:4": (1, 1), "4:2:2": (2, 1), "4:2:0": (2, 2)}


def caption(width: int = 160, height: int = 96) -> Pixels:
    """Thin saturated red on a soft ground, uint8 RGB: what coarse colours spoil most."""
    rng = np.random.default_rng(5)
    small = rng.integers(0, 256, (6, 10, 3), np.uint8)
    pixels = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    pixels[20:60:4, 10:150] = (230, 20, 30)
    pixels[20:60, 10:150:5] = (230, 20, 30)
    return pixels


def saved(pixels: Pixels, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format, **options)
    return buffer.getvalue()


def decode_whole(data: bytes) -> Picture:
    return decode(data, HUGE, HUGE)


def opened(data: bytes) -> Pixels:
    """uint8 RGB, by another reader."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(image.convert("RGB"))


def psnr(one: Pixels, other: Pixels) -> float:
    error = np.square(one.astype(float) - other).mean()
    return float(10 * np.log10(255**2 / error)) if error else float("inf")


def sampling_of(data: bytes) -> tuple[int, int]:
    image: Any = Image.open(io.BytesIO(data))
    ((_, across, down, _), *_) = image.layer
    return across, down


def tables_of(data: bytes) -> list[list[int]]:
    image: Any = Image.open(io.BytesIO(data))
    return [list(table) for table in image.quantization.values()]


@pytest.mark.parametrize("quality", [None, 60])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_a_jpeg_keeps_the_sampling_of_its_colours(name: str, quality: int | None) -> None:
    data = saved(caption(), "JPEG", quality=85, subsampling=name)
    assert sampling_of(label(encode(decode_whole(data), "jpeg", quality), "jpeg")) == SAMPLINGS[name]


def test_the_ratio_counts_and_not_how_it_is_written() -> None:
    data = bytearray(saved(caption(), "JPEG", subsampling="4:4:4"))
    frame = data.find(b"\xff\xc0") + 10
    for component in range(3):
        data[frame + 1 + 3 * component] = 0x21  # all three twice across: 4:4:4 in other words
    assert decode_whole(bytes(data)).traits.sampling == "4:4:4"


@pytest.mark.parametrize("quality", [1, 10, 49, 50, 75, 90, 95, 99, 100])
def test_a_jpeg_is_encoded_again_with_its_own_tables(quality: int) -> None:
    same = {"quality": quality, "subsampling": "4:4:4"}
    data = saved(caption(), "JPEG", **same)
    again = encode(decode_whole(data), "jpeg")
    assert tables_of(again) == tables_of(data)
    assert psnr(opened(again), opened(data)) > psnr(opened(saved(opened(data), "JPEG", **same)), opened(data)) - 0.2
    assert len(again) < 1.1 * len(data)


def test_tables_of_another_kind_get_some_that_are_no_coarser() -> None:
    flat = [[7] * 64, [19] * 64]
    data = saved(caption(), "JPEG", qtables=flat, subsampling="4:4:4")
    again = tables_of(encode(decode_whole(data), "jpeg"))
    for table, original in zip(again, flat, strict=True):
        assert 0.9 * sum(original) < sum(table) <= sum(original)


def test_the_best_quality_is_that_of_tables_of_ones() -> None:
    assert estimate_quality([1] * 64) == estimate_quality([1] * 64, chroma=True) == 100
    assert estimate_quality([65_535] * 64) == 1


def test_the_quality_asked_for_wins() -> None:
    data = saved(caption(), "JPEG", quality=95)
    assert tables_of(encode(decode_whole(data), "jpeg", 40)) == tables_of(saved(caption(), "JPEG", quality=40))


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_a_jpeg_of_another_file_has_the_usual_quality(format: str) -> None:
    picture = decode_whole(saved(caption(), format, quality=50))
    usual = tables_of(saved(caption(), "JPEG", quality=DEFAULT_QUALITY))
    assert tables_of(encode(picture, "jpeg")) == usual


def test_a_png_becomes_a_jpeg_without_coarser_colours() -> None:
    data = saved(caption(), "PNG")
    assert sampling_of(encode(decode_whole(data), "jpeg")) == (1, 1)
    other = saved(caption(), "JPEG", quality=DEFAULT_QUALITY, subsampling="4:4:4")
    assert psnr(opened(encode(decode_whole(data), "jpeg")), caption()) > psnr(opened(other), caption()) - 0.2


@pytest.mark.parametrize("alpha", [False, True])
def test_a_lossless_webp_stays_lossless(alpha: bool) -> None:
    pixels = caption()
    if alpha:
        cover = np.clip(np.add.outer(np.arange(96), np.arange(160)), 1, 255).astype(np.uint8)
        pixels = np.dstack((pixels, cover))
    # Extended (VP8X) as soon as there is a profile.
    for options in ({}, {"icc_profile": b"\0" * 200}):
        picture = decode_whole(saved(pixels, "WEBP", lossless=True, **options))
        again = label(encode(picture, "webp"), "webp")
        assert b"VP8L" in again[:64]
        assert np.array_equal(opened(again), pixels[:, :, :3])
        assert b"VP8L" not in encode(picture, "webp", 80)[:64]


@pytest.mark.parametrize("source", ["PNG", "JPEG", "lossy"])
def test_only_what_was_a_lossless_webp_stays_one(source: str) -> None:
    data = saved(caption(), "WEBP", quality=80) if source == "lossy" else saved(caption(), source)
    assert b"VP8 " in encode(decode_whole(data), "webp")[:64]


@pytest.mark.parametrize(("format", "least"), [("jpeg", 44), ("webp", float("inf")), ("png", float("inf"))])
@pytest.mark.parametrize("source", ["JPEG", "WEBP"])
def test_quality_100_means_it(source: str, format: PictureFormat, least: float) -> None:
    data = saved(caption(), source, quality=90)  # both with coarse colours
    assert psnr(opened(encode(decode_whole(data), format, 100)), decode_whole(data).pixels[:, :, ::-1]) >= least
