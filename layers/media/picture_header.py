"""Reads a picture's header, and checks its structure, before any decoder sees it."""

from __future__ import annotations

from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.formats import SNIFFED_BYTES, describe_other, sniff_picture
from layers.media.header import Header
from layers.media.jpeg_header import probe_jpeg
from layers.media.png_header import probe_png
from layers.media.webp_header import probe_webp

_SUPPORTED = "Send a JPEG, PNG or WebP."


def probe(data: bytes) -> Header:
    """Read the header of a whole JPEG, PNG or WebP.

    Walks through every marker and chunk, so that a truncated file is found before it is decoded. Raises
    UnsupportedPicture for anything else, animations included, and UnreadablePicture for a file that is truncated or
    contradicts itself.
    """
    match sniff_picture(data):
        case "jpeg":
            return probe_jpeg(data)
        case "png":
            return probe_png(data)
        case "webp":
            return probe_webp(data)
    if not data:
        raise UnreadablePicture("The picture is empty: it has no bytes.")
    other = describe_other(data[:SNIFFED_BYTES])
    raise UnsupportedPicture(f"This is {other or 'not a picture in a supported format'}. {_SUPPORTED}")
