"""From pixels to bytes."""

from __future__ import annotations

import numpy as np

from layers.core.errors import PictureTooLarge
from layers.media.color_profile import fits, means_srgb
from layers.media.formats import EXTENSIONS, MAX_SIDE_PIXELS, NAMES, PictureFormat
from layers.media.metadata import add_png_chunk, embed_profile
from layers.media.picture import Picture, Pixels, flatten

DEFAULT_QUALITY = 90  # of a JPEG or WebP whose file was no JPEG or lossless WebP itself


def encode(picture: Picture, format: PictureFormat, quality: int | None = None) -> bytes:
    """Encode a picture; `quality`, 1 to 100, applies to JPEG and WebP, and without it the picture's own does.

    A JPEG's own quality is that of its quantization tables, and its colours are sampled as they came. Lossless WebP
    stays lossless without `quality`. Quality 100 loses nothing in WebP, and in JPEG as little as the format can.
    PNG and WebP keep alpha. JPEG has none, so transparent areas become white, in the picture's own pixels. A grey
    picture gets one channel, except in WebP and beside alpha, where three equal ones hold it. Raises PictureTooLarge
    if the format cannot hold so large a picture. A colour profile that the channels can have is kept.
    """
    import cv2

    longest = max(picture.width, picture.height)
    if longest > MAX_SIDE_PIXELS[format]:
        raise PictureTooLarge(
            f"A {NAMES[format]} has at most {MAX_SIDE_PIXELS[format]} pixels per side. Ask for another format."
        )
    pixels = _arrange_channels(picture, format)
    success, encoded = cv2.imencode(f".{EXTENSIONS[format]}", pixels, _choose_options(picture, format, quality))
    if not success:
        raise ValueError(f"OpenCV could not encode {pixels.shape} as {format}")
    data = bytes(encoded)
    if format == "png":
        for kind, body in picture.traits.color_chunks:
            data = add_png_chunk(data, kind, body)
    profile = choose_profile(picture, format)
    return embed_profile(data, format, profile) if profile else data


def keeps_colors(picture: Picture, format: PictureFormat) -> bool:
    """Whether the encoded picture says how its colours are meant, if its file did."""
    traits, profile = picture.traits, choose_profile(picture, format)
    if traits.profile is not None and not profile:
        return False
    return format == "png" or means_srgb(dict(traits.color_chunks), profile=bool(profile))


def choose_profile(picture: Picture, format: PictureFormat) -> bytes | None:
    """The picture's colour profile, if its encoded channels can have it."""
    profile = picture.traits.profile
    return profile if profile and fits(profile, grey=_is_one_channel(picture, format)) else None


def _is_one_channel(picture: Picture, format: PictureFormat) -> bool:
    return picture.grey and format != "webp" and (picture.alpha is None or format == "jpeg")


def _choose_options(picture: Picture, format: PictureFormat, quality: int | None) -> list[int]:
    """OpenCV's parameters for the format."""
    import cv2

    traits = picture.traits
    if format == "png":
        return [cv2.IMWRITE_PNG_COMPRESSION, 4]
    if format == "webp":
        if quality == 100 or (quality is None and traits.lossless and picture.format == "webp"):
            return [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_ON]
        return [cv2.IMWRITE_WEBP_QUALITY, quality or DEFAULT_QUALITY]
    own = traits.qualities or (DEFAULT_QUALITY, DEFAULT_QUALITY)
    luma, chroma = own if quality is None else (quality, quality)
    factors = {
        "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
        "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
        "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
        "4:1:1": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_411,
    }
    return [
        *(cv2.IMWRITE_JPEG_LUMA_QUALITY, luma, cv2.IMWRITE_JPEG_CHROMA_QUALITY, chroma),
        *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factors["4:4:4" if quality == 100 else traits.sampling]),
        *(cv2.IMWRITE_JPEG_OPTIMIZE, 1),
    ]


def _arrange_channels(picture: Picture, format: PictureFormat) -> Pixels:
    """The channels that the file gets: uint8 [H, W] (grey), [H, W, 3] (BGR) or [H, W, 4] (BGRA)."""
    import cv2

    pixels, alpha = picture.pixels, picture.alpha
    if alpha is not None and format == "jpeg":
        flatten(pixels, alpha)
        alpha = None
    if picture.grey:
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), np.uint8)
        if _is_one_channel(picture, format):
            return grey
        pixels = np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), np.uint8)
    return pixels if alpha is None else np.dstack((pixels, alpha))
