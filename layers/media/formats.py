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

# Brands of files that begin like an MP4: still pictures, and videos of another name.
_AVIF_BRANDS = (b"avif", b"avis")
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs")
_STILL_BRANDS = (*_AVIF_BRANDS, *_HEIC_BRANDS, b"mif1", b"msf1")  # the last two say nothing of the codec
_VIDEO_BRANDS = {b"qt  ": "a QuickTime video", b"M4A ": "a sound file"}
_OTHERS = (
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP picture"),
    (b"II*\0", "a TIFF picture"),
    (b"MM\0*", "a TIFF picture"),
    (b"\xff\x0a", "a JPEG XL picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"8BPS", "a Photoshop file"),
    (b"\0\0\1\0", "an icon"),
    (b"%PDF", "a PDF"),
    (b"%!PS", "a PostScript file"),
    (b"\x1a\x45\xdf\xa3", "a WebM or Matroska video"),
    (b"PK\3\4", "a ZIP archive"),
)
_SVG = re.compile(rb"\s*(<\?xml|<!DOCTYPE svg|<!--|<svg)", re.IGNORECASE)
_HTML = re.compile(rb"\s*(<!DOCTYPE html|<html|<head|<body)", re.IGNORECASE)


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
        return _describe_brand(head)
    if _HTML.match(head):
        return "a web page"
    if _SVG.match(head):
        return "an SVG or another kind of XML"
    return next((name for signature, name in _OTHERS if head.startswith(signature)), None)


def _describe_brand(head: bytes) -> str:
    """What a file is that begins like an MP4, by its brand and those that it is compatible with."""
    brand, size = head[8:12], int.from_bytes(head[:4], "big")
    brands = {brand, *(head[at : at + 4] for at in range(16, min(size, len(head)), 4))}
    if brand not in _STILL_BRANDS:
        return _VIDEO_BRANDS.get(brand, "an MP4 video")
    return "an AVIF picture" if brand in _AVIF_BRANDS or brands & set(_AVIF_BRANDS) else "an HEIC picture"
