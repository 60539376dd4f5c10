"""Reads a picture's header, and checks its structure, before any decoder sees it.

JPEG: ITU-T T.81 annex B. PNG: the W3C's third edition. WebP: RFC 9649. Orientation: EXIF 2.32, tag 0x0112.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.formats import PNG_SIGNATURE, SNIFFED_BYTES, PictureFormat, describe_other, sniff_picture

_SUPPORTED = "Send a JPEG, PNG or WebP."
# The next marker in or after entropy-coded data: 0xFF, then neither a stuffed zero, nor fill, nor a restart.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MAX_SCANS = 100  # a progressive JPEG has about ten; each costs a pass over the whole picture


@dataclass(frozen=True)
class Header:
    """A picture's size in pixels before its orientation is applied, and that EXIF orientation, 1 (upright) to 8."""

    format: PictureFormat
    width: int
    height: int
    orientation: int = 1
    sixteen_bit: bool = False
    grey: bool = False  # one channel, apart from alpha


def probe(data: bytes) -> Header:
    """Read the header of a whole JPEG, PNG or WebP.

    Walks through every marker and chunk, so that a truncated file is found before it is decoded. Raises
    UnsupportedPicture for anything else, animations included, and UnreadablePicture for a file that is truncated or
    contradicts itself.
    """
    match sniff_picture(data):
        case "jpeg":
            return _probe_jpeg(data)
        case "png":
            return _probe_png(data)
        case "webp":
            return _probe_webp(data)
    if not data:
        raise UnreadablePicture("The picture is empty: it has no bytes.")
    other = describe_other(data[:SNIFFED_BYTES])
    raise UnsupportedPicture(f"This is {other or 'not a picture in a supported format'}. {_SUPPORTED}")


def _truncated() -> UnreadablePicture:
    return UnreadablePicture("The picture is truncated. Send the whole file.")


def _probe_jpeg(data: bytes) -> Header:
    at, size, orientation, scans, grey = 2, (0, 0), 1, 0, False
    while True:
        if at + 4 > len(data):
            raise _truncated()
        if data[at] != 0xFF:
            raise UnreadablePicture("The JPEG is damaged: a marker is missing.")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length] if marker in _PARSED_MARKERS else b""
        after = at + 2 + length
        if length < 2 or after > len(data):
            raise _truncated()
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _read_orientation(body[6:])
        elif marker in _FRAME_MARKERS:
            width, height, components = _parse_frame(marker, body)
            size = width, height
            grey = components == 1
        elif marker in _UNSUPPORTED_FRAME_MARKERS:
            raise UnsupportedPicture("This is a lossless or hierarchical JPEG. Save it as an ordinary one.")
        elif marker == 0xDA:
            scans += 1
            match = _NEXT_MARKER.search(data, after)
            if not match:
                raise _truncated()
            after = match.start()
            if data[after + 1] == 0xD9:
                break
        at = after
        if scans > _MAX_SCANS:
            raise UnreadablePicture("The JPEG has too many scans.")
    if not all(size):
        raise UnreadablePicture("The JPEG is damaged: it has no size.")
    return Header("jpeg", size[0], size[1], orientation, grey=grey)


_FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_UNSUPPORTED_FRAME_MARKERS = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
_PARSED_MARKERS = _FRAME_MARKERS | {0xE1}


def _parse_frame(marker: int, body: bytes) -> tuple[int, int, int]:
    """Width, height and number of components."""
    if len(body) < 6:
        raise _truncated()
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    if bits != 8 or components not in (1, 3, 4):
        raise UnsupportedPicture(
            f"This JPEG has {components} channels of {bits} bits. Save it with 8 bits per channel."
        )
    return width, height, components


_GREY_COLOUR_TYPES = {0, 4}  # without and with alpha


def _probe_png(data: bytes) -> Header:
    header: Header | None = None
    pixels = False
    for kind, body in _png_chunks(data):
        if header is None:
            if kind != b"IHDR" or len(body) != 13:
                raise UnreadablePicture("The PNG is damaged: its header is missing.")
            width, height, bits, colour_type = struct.unpack_from(">IIBB", body)
            if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
                raise UnreadablePicture("The PNG is damaged: it has no size.")
            header = Header("png", width, height, sixteen_bit=bits == 16, grey=colour_type in _GREY_COLOUR_TYPES)
        elif kind == b"acTL":
            raise UnsupportedPicture("This PNG is animated. Send one of its frames.")
        elif kind == b"eXIf":
            header = replace(header, orientation=_read_orientation(body))
        pixels = pixels or kind == b"IDAT"
    if header is None or not pixels:
        raise _truncated()
    return header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise _truncated()
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise _truncated()
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise UnreadablePicture("The PNG is damaged: a checksum is wrong.")
        kind = bytes(view[at + 4 : at + 8])
        yield kind, view[at + 8 : end]
        if kind == b"IEND":
            return
        at = end + 4


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and body of each chunk of a WebP. Raises UnreadablePicture if the file is truncated."""
    view, at = memoryview(data), 12
    end = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 12 else len(data) + 1
    if end > len(data):
        raise _truncated()
    while at + 8 <= end:
        (length,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + length > end:
            raise _truncated()
        yield bytes(view[at : at + 4]), view[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _probe_webp(data: bytes) -> Header:
    canvas: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None
    orientation = 1
    for kind, body in webp_chunks(data):
        if kind == b"VP8X" and len(body) >= 10:
            if body[0] & 0x02:
                raise UnsupportedPicture("This WebP is animated. Send one of its frames.")
            canvas = _uint24(body, 4) + 1, _uint24(body, 7) + 1
        elif kind in (b"VP8 ", b"VP8L") and frame is None:
            frame = webp_frame_size(kind, body)
        elif kind == b"EXIF":
            orientation = _read_orientation(bytes(body).removeprefix(b"Exif\0\0"))
    if frame is None or not all(frame):
        raise UnreadablePicture("The WebP is damaged: it holds no picture.")
    if canvas not in (None, frame):
        raise UnreadablePicture("The WebP is damaged: it has two different sizes.")
    return Header("webp", frame[0], frame[1], orientation)


def webp_frame_size(kind: bytes, body: memoryview) -> tuple[int, int]:
    """Width and height in pixels from the first bytes of a `VP8 ` (lossy) or `VP8L` (lossless) chunk; (0, 0) if bad."""
    if kind == b"VP8L":
        if len(body) < 5 or body[0] != 0x2F:
            return 0, 0
        (bits,) = struct.unpack_from("<I", body, 1)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if len(body) < 10 or bytes(body[3:6]) != b"\x9d\x01\x2a":
        return 0, 0
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _uint24(body: memoryview, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "little")


def _read_orientation(exif: bytes | memoryview) -> int:
    """The orientation in a TIFF structure; 1, as every viewer assumes, where it is missing or not valid."""
    exif = bytes(exif[: 1 << 16])
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == 0x0112:
            return value if kind == 3 and values == 1 and 1 <= value <= 8 else 1
    return 1
