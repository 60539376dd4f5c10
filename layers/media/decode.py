"""From bytes to pixels, bounded before anything is decoded."""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.header import Header, truncated
from layers.media.picture import NEUTRAL, Picture, Pixels
from layers.media.picture_header import probe
from layers.media.png_header import drop_broken_chunks
from layers.media.xmp_label import find_source_type

# OpenCV reads this once, while it is imported. Our own limit applies before it.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(200_000_000))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")

_JPEG_END = b"\xff\xd9"
_NOISE = hashlib.sha512(b"noise").digest().replace(b"\xff", b"") * 4


def decode(data: bytes, max_bytes: int, max_pixels: int) -> Picture:
    """Decode a JPEG, PNG or WebP into uint8 BGR [H, W, 3], upright, with alpha apart.

    16 bits per channel become 8 (such a picture counts twice against `max_pixels`), grey and palettes become BGR, CMYK
    is converted as its Adobe marker says. Colours beneath an alpha of 0 become grey. Colour profiles are kept and not
    applied. As viewers do, it passes over a missing end mark of a JPEG and broken texts in a PNG, but not over missing
    pixels. Raises PictureTooLarge, UnsupportedPicture or UnreadablePicture.
    """
    if len(data) > max_bytes:
        raise PictureTooLarge(f"The picture has {len(data)} bytes; at most {max_bytes} are allowed.")
    header = probe(data)
    cost = header.width * header.height * (2 if header.sixteen_bit else 1)
    if cost > max_pixels:
        raise PictureTooLarge(
            f"The picture has {header.width} x {header.height} pixels; at most {max_pixels / 1e6:g} megapixels are "
            "allowed, and half as many with 16 bits per channel. Make it smaller."
        )
    pixels, alpha = _split_channels(_decode_pixels(data, header), header.clear_level)
    if alpha is not None:
        pixels[alpha == 0] = NEUTRAL  # nobody sees these colours, so nothing looks at them and they do not travel on
    return Picture(
        pixels=apply_orientation(pixels, header.orientation),
        alpha=None if alpha is None else apply_orientation(alpha, header.orientation),
        digest=hashlib.sha256(data).hexdigest(),
        format=header.format,
        grey=header.grey,
        traits=replace(header.traits, source_type=find_source_type(data)),
    )


def _decode_pixels(data: bytes, header: Header) -> NDArray[Any]:
    """Decode by OpenCV: uint8 or uint16 [H, W], [H, W, 3] or [H, W, 4] (BGR, BGRA), not yet upright."""
    if header.broken_chunks:
        return _run_decoder(drop_broken_chunks(data), header)
    if header.scans_end is None:
        return _run_decoder(data, header)
    # The decoder fills what is missing, without a word. What is whole stays the same, whatever follows it.
    scans = data[: header.scans_end]
    digest = zlib.crc32(_run_decoder(scans + _NOISE + _JPEG_END, header).data)
    pixels = _run_decoder(scans + _JPEG_END, header)
    if zlib.crc32(pixels.data) != digest:
        raise truncated()
    return pixels


def _run_decoder(data: bytes, header: Header) -> NDArray[Any]:
    import cv2

    # "Unchanged" would leave four raw channels of a CMYK JPEG; "color" converts them.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if header.format == "jpeg" else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.shape[:2] != (header.height, header.width):
        raise UnreadablePicture("The picture is damaged. Send it again, or save it again first.")
    return pixels


def _split_channels(pixels: NDArray[Any], clear_level: int | None) -> tuple[Pixels, Pixels | None]:
    """Colours and alpha, in 8 bits; grey that has `clear_level` is transparent, which OpenCV leaves out."""
    import cv2

    cover = None
    if clear_level is not None and pixels.ndim == 2:
        cover = (pixels != clear_level).astype(np.uint8) * np.uint8(255)
    if pixels.dtype == np.uint16:
        pixels = np.right_shift(pixels.view(np.uint16), 8)
    pixels = pixels.astype(np.uint8, copy=False)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8), cover
    if pixels.shape[2] == 4:
        return np.ascontiguousarray(pixels[:, :, :3]), np.ascontiguousarray(pixels[:, :, 3])
    return pixels, None


def apply_orientation(pixels: Pixels, orientation: int) -> Pixels:
    """Turn and mirror a picture [H, W, ...] by EXIF's orientation, 1 to 8; the result is contiguous."""
    if orientation >= 5:  # stored by columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
