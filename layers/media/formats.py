"""The picture and video formats that the stack reads and makes: names, media types, file extensions, first bytes.

JPEG: ITU-T T.81. PNG: the W3C's third edition. WebP: RFC 9649. MP4, AVIF and HEIC: the brands of ISO/IEC 14496-12 and
23008-12. This module imports nothing but the standard library, since every entry point needs it.
"""

from __future__ import annotations

import re
from typing import Final, Literal, get_args

PictureFormat = Literal["jpeg", "png", "webp"]
MediaType = Literal["image/jpeg", "image/png", "image/webp", "video/mp4"]

PICTURE_FORMATS: Final[tuple[PictureFormat, ...]] = get_args(PictureFormat)
NAMES: Final[dict[PictureFormat, str]] = {"jpeg": "JPEG", "png": "PNG", "webp": "WebP"}
MEDIA_TYPES: Final[dict[PictureFormat, MediaType]] = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp"}
EXTENSIONS: Final[dict[PictureFormat, str]] = {"jpeg": "jpg", "png": "png", "webp": "webp"}
MAX_SIDE_PIXELS: Final[dict[PictureFormat, int]] = {"jpeg": 65_535, "png": 2**31 - 1, "webp": 16_383}
MP4: Final = "video/mp4"

SNIFFED_BYTES: Final = 512  # more than any format is recognised by
JPEG_SIGNATURE: Final = b"\xff\xd8\xff"
PNG_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"

# Brands of files that begin like an MP4 and hold still pictures.
_STILL_BRANDS = dict.fromkeys((b"avif", b"avis"), "an AVIF") | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"), "a HEIC"
)
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"%PDF", "a PDF"),
    (b"\xff\x0a", "a JPEG XL"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL"),
)
_XML = re.compile(rb"\s*(<\?xml|<!DOCTYPE svg|<!--|<svg)", re.IGNORECASE)


def sniff_picture(head: bytes) -> PictureFormat | None:
    """The format of a picture by its first bytes; None for any other file."""
    if head.startswith(JPEG_SIGNATURE):
        return "jpeg"
    if head.startswith(PNG_SIGNATURE):
        return "png"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return None


def sniff(head: bytes) -> MediaType | None:
    """The media type of a picture or an MP4 by its first bytes; None for any other file."""
    picture = sniff_picture(head)
    if picture:
        return MEDIA_TYPES[picture]
    return MP4 if head[4:8] == b"ftyp" and head[8:12] not in _STILL_BRANDS else None


def describe_other(head: bytes) -> str | None:
    """What any other file is by its first bytes, with the article ("a GIF"); None if unknown."""
    if head[4:8] == b"ftyp":
        return _STILL_BRANDS.get(head[8:12], "a video")
    if _XML.match(head):
        return "an SVG or another kind of XML"
    return next((name for signature, name in _OTHERS if head.startswith(signature)), None)
