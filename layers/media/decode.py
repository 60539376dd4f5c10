"""From bytes to pixels, bounded before anything is decoded."""

from __future__ import annotations

import hashlib
import os

import numpy as np

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.picture import Picture, Pixels
from layers.media.picture_header import Header, probe

# OpenCV reads this once, while it is imported. Our own limit comes first; this one is behind it.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", str(200_000_000))
os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


def decode(data: bytes, max_bytes: int, max_pixels: int) -> Picture:
    """A JPEG, PNG or WebP as uint8 BGR, upright, alpha apart.

    16 bits a channel become 8 (such a picture counts twice against the limit), grey and palettes become BGR, CMYK is
    converted as its Adobe marker says. Colour profiles are not applied. Raises PictureTooLarge, UnsupportedPicture or
    UnreadablePicture.
    """
    if len(data) > max_bytes:
        raise PictureTooLarge(f"The picture has {len(data)} bytes; at most {max_bytes} are taken.")
    header = probe(data)
    cost = header.width * header.height * (2 if header.sixteen_bit else 1)
    if cost > max_pixels:
        raise PictureTooLarge(
            f"The picture has {header.width} x {header.height} pixels; at most {max_pixels / 1e6:g} megapixels are "
            "taken, half as many with 16 bits a channel. Make it smaller."
        )
    pixels, alpha = _channels(_decoded(data, header))
    return Picture(
        pixels=upright(pixels, header.orientation),
        alpha=None if alpha is None else upright(alpha, header.orientation),
        digest=hashlib.sha256(data).hexdigest(),
        format=header.format,
    )


def _decoded(data: bytes, header: Header) -> Pixels:
    """As OpenCV gives it: uint8 [H, W], [H, W, 3] or [H, W, 4], not turned."""
    import cv2

    # "Unchanged" would leave four raw channels of a CMYK JPEG; "color" converts them.
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION if header.format == "jpeg" else cv2.IMREAD_UNCHANGED
    try:
        decoded = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        decoded = None
    if decoded is None or decoded.shape[:2] != (header.height, header.width):
        raise UnreadablePicture("The picture is damaged. Send it again, or save it anew.")
    if decoded.dtype == np.uint16:
        decoded = np.right_shift(decoded.view(np.uint16), 8)
    return decoded.astype(np.uint8, copy=False)


def _channels(decoded: Pixels) -> tuple[Pixels, Pixels | None]:
    import cv2

    if decoded.ndim == 2:
        return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_GRAY2BGR), np.uint8), None
    if decoded.shape[2] == 4:
        return np.ascontiguousarray(decoded[:, :, :3]), np.ascontiguousarray(decoded[:, :, 3])
    return decoded, None


def upright(pixels: Pixels, orientation: int) -> Pixels:
    """The picture [H, W, ...] turned and mirrored as EXIF's orientation, 1 to 8, asks for; contiguous."""
    if orientation >= 5:  # stored by columns
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
