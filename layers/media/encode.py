"""From pixels to bytes."""

from __future__ import annotations

import numpy as np

from layers.core.errors import PictureTooLarge
from layers.media.formats import EXTENSIONS, MAX_SIDE_PIXELS, NAMES, PictureFormat
from layers.media.picture import Picture, flatten


def encode(picture: Picture, format: PictureFormat, quality: int) -> bytes:
    """Encode a picture; `quality`, 1 to 100, applies to JPEG and WebP.

    PNG and WebP keep alpha. JPEG has none, so transparent areas become white, in the picture's own pixels. Raises
    PictureTooLarge if the format cannot hold so large a picture.
    """
    import cv2

    longest = max(picture.width, picture.height)
    if longest > MAX_SIDE_PIXELS[format]:
        raise PictureTooLarge(
            f"A {NAMES[format]} has at most {MAX_SIDE_PIXELS[format]} pixels per side. Ask for another format."
        )
    pixels = picture.pixels
    if picture.alpha is not None:
        if format == "jpeg":
            flatten(pixels, picture.alpha)
        else:
            pixels = np.dstack((pixels, picture.alpha))
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 4],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }[format]
    success, encoded = cv2.imencode(f".{EXTENSIONS[format]}", pixels, options)
    if not success:
        raise ValueError(f"OpenCV could not encode {pixels.shape} as {format}")
    return bytes(encoded)
