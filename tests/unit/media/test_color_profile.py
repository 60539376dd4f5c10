"""Colour profiles come back as they were, or are left out where they do not fit."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from layers.media.c2pa_chain import create_chain
from layers.media.c2pa_label import Signer, read_manifest
from layers.media.color_profile import MAX_PROFILE_BYTES
from layers.media.decode import decode
from layers.media.encode import choose_profile, encode, keeps_colors
from layers.media.formats import MEDIA_TYPES, PICTURE_FORMATS, PictureFormat
from layers.media.picture import Picture
from layers.media.xmp_label import SOURCE_TYPE, label, read_label
from tests.unit.media.test_c2pa_label import SWAP

RGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_space(space: bytes, size: int = 0) -> bytes:
    """The profile, said to be for another colour space, and padded to a size."""
    profile = (RGB[:16] + space + RGB[20:]).ljust(size, b"\x5a")
    return struct.pack(">I", len(profile)) + profile[4:]


def ramp(mode: str = "RGB") -> Image.Image:
    pixels = np.add.outer(np.arange(30) * 3, np.arange(40) * 2)[..., None] + np.array([0, 40, 90])
    return Image.fromarray(pixels.astype(np.uint8)).convert(mode)


def saved(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decode_whole(data: bytes) -> Picture:
    return decode(data, 10**9, 10**9)


def profile_of(data: bytes) -> bytes | None:
    """By another reader."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return image.info.get("icc_profile")


@pytest.mark.parametrize("format", PICTURE_FORMATS)
@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", [0, 200_001], ids=["small", "in several segments"])
def test_a_profile_comes_back_in_every_format(source: str, format: PictureFormat, size: int) -> None:
    profile = with_space(b"RGB ", size)
    picture = decode_whole(saved(ramp(), source, icc_profile=profile))
    assert picture.traits.profile == profile

    chain = create_chain()
    labelled = label(encode(picture, format), format)
    signed = Signer(lambda: chain).sign_picture(labelled, format, SWAP)

    assert profile_of(signed) == profile
    assert read_label(signed) == SOURCE_TYPE
    assert read_manifest(io.BytesIO(signed), MEDIA_TYPES[format], chain.anchors).state == "trusted"
    again = decode_whole(signed)
    assert again.traits.profile == profile
    assert np.abs(again.pixels.astype(int) - picture.pixels).mean() < 2


def test_a_transparent_webp_keeps_its_profile_and_alpha() -> None:
    image = ramp()
    image.putalpha(90)
    data = label(encode(decode_whole(saved(image, "PNG", icc_profile=RGB)), "webp"), "webp")
    with Image.open(io.BytesIO(data)) as result:
        assert (result.mode, result.info["icc_profile"]) == ("RGBA", RGB)


@pytest.mark.parametrize(("format", "kept"), [("jpeg", True), ("png", True), ("webp", False)])
def test_a_profile_for_one_channel_stays_with_one_channel(format: PictureFormat, kept: bool) -> None:
    grey = with_space(b"GRAY")
    picture = decode_whole(saved(ramp("L"), "JPEG", icc_profile=grey))
    assert choose_profile(picture, format) == (grey if kept else None)
    assert profile_of(encode(picture, format)) == (grey if kept else None)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("CMYK", with_space(b"CMYK")),
        ("L", RGB),
        ("RGB", with_space(b"GRAY")),
        ("RGB", b"not a profile"),
        ("RGB", with_space(b"RGB ", MAX_PROFILE_BYTES + 1)),
    ],
)
def test_a_profile_that_does_not_fit_is_left_out(mode: str, profile: bytes) -> None:
    picture = decode_whole(saved(ramp(mode), "JPEG", icc_profile=profile))
    assert picture.traits.profile is not None
    formats: tuple[PictureFormat, ...] = ("jpeg", "png")  # a WebP of a grey picture has three channels
    for format in formats:
        assert choose_profile(picture, format) is None
        assert profile_of(encode(picture, format)) is None


def test_a_profile_with_a_missing_part_is_left_out() -> None:
    data = bytearray(saved(ramp(), "JPEG", icc_profile=with_space(b"RGB ", 100_000)))
    data[data.find(b"ICC_PROFILE\0\x02") + 12] = 1  # the first part twice
    picture = decode_whole(bytes(data))
    assert picture.traits.profile == b""
    assert choose_profile(picture, "jpeg") is None


P3 = (b"cICP", b"\x0c\x0d\0\1")
GAMMA = (b"gAMA", struct.pack(">I", 45_455))
LINEAR = (b"gAMA", struct.pack(">I", 100_000))
INTENT = (b"sRGB", b"\0")


def with_chunks(data: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    framed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return data[:33] + b"".join(framed) + data[33:]


@pytest.mark.parametrize(
    ("chunks", "kept"),
    [((), True), ((P3,), False), ((LINEAR,), False), ((GAMMA,), True), ((LINEAR, INTENT), True), ((P3, INTENT), False)],
)
@pytest.mark.parametrize("format", PICTURE_FORMATS)
def test_what_else_a_png_says_of_its_colours_stays_in_a_png(
    format: PictureFormat, chunks: tuple[tuple[bytes, bytes], ...], kept: bool
) -> None:
    picture = decode_whole(with_chunks(saved(ramp(), "PNG"), *chunks))
    again = decode_whole(label(encode(picture, format, 100), format))
    assert dict(again.traits.color_chunks) == (dict(chunks) if format == "png" else {})
    assert keeps_colors(picture, format) == (kept or format == "png")


@pytest.mark.parametrize(("chunk", "kept"), [(LINEAR, True), (P3, False)])
def test_a_profile_overrules_gamma_but_not_code_points(chunk: tuple[bytes, bytes], kept: bool) -> None:
    picture = decode_whole(with_chunks(saved(ramp(), "PNG", icc_profile=RGB), chunk))
    assert keeps_colors(picture, "jpeg") == kept


@pytest.mark.parametrize("packed", [b"no zlib", zlib.compress(bytes(50 << 20), 9), zlib.compress(RGB)[:-5]])
def test_a_profile_that_cannot_be_unpacked_is_left_out(packed: bytes) -> None:
    chunk = b"iCCPname\0\0" + packed
    data = saved(ramp(), "PNG")
    data = data[:33] + struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[33:]
    assert choose_profile(decode_whole(data), "png") is None
