"""From pixels to bytes."""

from __future__ import annotations

import numpy as np

from layers.core.errors import PictureTooLarge
from layers.media.formats import EXTENSIONS, MAX_SIDE_PIXELS, NAMES, PictureFormat
from layers.media.picture import Picture, Pixels, flatten


def encode(picture: Picture, format: PictureFormat, quality: int) -> bytes:
    """Encode a picture; `quality`, 1 to 100, applies to JPEG and WebP.

    PNG and WebP keep alpha. JPEG has none, so transparent areas become white, in the picture's own pixels. A grey
    picture gets one channel, except in WebP and beside alpha, where three equal ones hold it. Raises PictureTooLarge
    if the format cannot hold so large a picture.
    """
    import cv2

    longest = max(picture.width, picture.height)
    if longest > MAX_SIDE_PIXELS[format]:
        raise PictureTooLarge(
            f"A {NAMES[format]} has at most {MAX_SIDE_PIXELS[format]} pixels per side. Ask for another format."
        )
    pixels = _arrange_channels(picture, format)
    options = {
        "jpeg": [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 4],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
    }[format]
    success, encoded = cv2.imencode(f".{EXTENSIONS[format]}", pixels, options)
    if not success:
        raise ValueError(f"OpenCV could not encode {pixels.shape} as {format}")
    return bytes(encoded)


def _arrange_channels(picture: Picture, format: PictureFormat) -> Pixels:
    """The channels that the file gets: uint8 [H, W] (grey), [H, W, 3] (BGR) or [H, W, 4] (BGRA)."""
    import cv2

    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and format == "jpeg":
        flatten(pixels, alpha)
        alpha = None
    if picture.grey:
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
        if alpha is None and format != "webp":
            return grey
        pixels = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    return pixels if alpha is None else np.dstack((pixels, alpha))
