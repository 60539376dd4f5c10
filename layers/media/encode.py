"""From pixels to bytes."""

from __future__ import annotations

import numpy as np

from layers.core.errors import PictureTooLarge
from layers.media.picture import Format, Picture, Pixels

_LONGEST_SIDE = {"jpeg": 65_535, "png": 2**31 - 1, "webp": 16_383}  # pixels, by format
_STRIP = 64  # rows flattened at a time, so that the float copy stays small


def encode(picture: Picture, format: Format, quality: int) -> bytes:
    """The picture in that format; `quality`, 1 to 100, is of JPEG and WebP.

    PNG and WebP keep alpha; JPEG knows none, so what is transparent becomes white, in the picture's own pixels. Raises
    PictureTooLarge where the format cannot hold the size.
    """
    import cv2

    longest = max(picture.width, picture.height)
    if longest > _LONGEST_SIDE[format]:
        raise PictureTooLarge(
            f"A {format} holds at most {_LONGEST_SIDE[format]} pixels a side; ask for another format."
        )
    pixels = picture.pixels
    if picture.alpha is not None:
        if format == "jpeg":
            flatten(pixels, picture.alpha)
        else:
            pixels = np.dstack((pixels, picture.alpha))
    suffix, options = {
        "jpeg": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]),
        "png": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 4]),
        "webp": (".webp", [cv2.IMWRITE_WEBP_QUALITY, quality]),
    }[format]
    done, encoded = cv2.imencode(suffix, pixels, options)
    if not done:
        raise ValueError(f"OpenCV could not encode {pixels.shape} as {format}")
    return bytes(encoded)


def flatten(pixels: Pixels, alpha: Pixels, ground: int = 255) -> None:
    """Put uint8 [H, W, 3], of which uint8 [H, W] covers its ground, over white or that level of grey, in place."""
    for top in range(0, len(pixels), _STRIP):
        strip, cover = pixels[top : top + _STRIP], alpha[top : top + _STRIP, :, None].astype(np.uint16)
        strip[:] = (strip * cover + ground * (255 - cover) + 127) // 255
