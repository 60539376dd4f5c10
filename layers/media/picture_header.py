"""What a picture's first bytes say, read before any decoder sees it.

JPEG: ITU-T T.81 annex B. PNG: the W3C's third edition. WebP: RFC 9649. Orientation: EXIF 2.32, tag 0x0112.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from layers.core.errors import UnreadablePicture, UnsupportedPicture

if TYPE_CHECKING:  # numpy comes with it, which the video function does without
    from layers.media.picture import Format

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"

_SUPPORTED = "Send a JPEG, a PNG or a WebP."
_OTHERS: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF"),
    (0, b"BM", "a BMP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypavif", "an AVIF"),
    (4, b"ftypavis", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftyphev", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (4, b"ftyp", "a video"),
    (0, b"%PDF", "a PDF"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
)
_SVG = re.compile(rb"\s*(<\?xml|<!DOCTYPE svg|<!--|<svg)", re.IGNORECASE)
# A marker inside or after entropy-coded data: 0xFF, then neither a stuffed zero, nor fill, nor a restart.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCANS = 100  # a progressive JPEG has about ten; each costs a pass over the whole picture


@dataclass(frozen=True)
class Header:
    """Size in pixels before orientation is applied, and the EXIF orientation, 1 (upright) to 8."""

    format: Format
    width: int
    height: int
    orientation: int = 1
    sixteen_bit: bool = False


def probe(data: bytes) -> Header:
    """The header of a whole JPEG, PNG or WebP.

    Raises UnsupportedPicture for anything else, animations included, and UnreadablePicture for what is cut short or
    contradicts itself. Reads every marker and chunk, so that a truncated file is told before it is decoded.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(PNG_SIGNATURE):
        return _png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if not data:
        raise UnreadablePicture("The picture is empty: it has no bytes.")
    for offset, magic, name in _OTHERS:
        if data.startswith(magic, offset):
            raise UnsupportedPicture(f"This is {name}. {_SUPPORTED}")
    if _SVG.match(data):
        raise UnsupportedPicture(f"This is an SVG or another kind of XML. {_SUPPORTED}")
    raise UnsupportedPicture(f"This is not a picture of a kind that is known here. {_SUPPORTED}")


def _cut() -> UnreadablePicture:
    return UnreadablePicture("The picture is cut short. Send the whole file.")


def _jpeg(data: bytes) -> Header:
    at, size, orientation, scans = 2, (0, 0), 1, 0
    while True:
        if at + 4 > len(data):
            raise _cut()
        if data[at] != 0xFF:
            raise UnreadablePicture("The JPEG is damaged: a marker is missing.")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        body = data[at + 4 : at + 2 + length] if marker in _READ else b""
        after = at + 2 + length
        if length < 2 or after > len(data):
            raise _cut()
        if marker == 0xE1 and body.startswith(b"Exif\0\0"):
            orientation = _orientation(body[6:])
        elif marker in _FRAMES:
            size = _frame(marker, body)
        elif marker in _FRAMES_UNSUPPORTED:
            raise UnsupportedPicture("This is a lossless or hierarchical JPEG. Save it as an ordinary one.")
        elif marker == 0xDA:
            scans += 1
            found = _MARKER.search(data, after)
            if not found:
                raise _cut()
            after = found.start()
            if data[after + 1] == 0xD9:
                break
        at = after
        if scans > _SCANS:
            raise UnreadablePicture("The JPEG has too many scans.")
    if not all(size):
        raise UnreadablePicture("The JPEG is damaged: it tells no size.")
    return Header("jpeg", size[0], size[1], orientation)


_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_FRAMES_UNSUPPORTED = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
_READ = _FRAMES | {0xE1}


def _frame(marker: int, body: bytes) -> tuple[int, int]:
    if len(body) < 6:
        raise _cut()
    bits, height, width, components = struct.unpack_from(">BHHB", body)
    if bits != 8 or components not in (1, 3, 4):
        raise UnsupportedPicture(f"This JPEG has {components} channels of {bits} bits. Save it with 8 bits a channel.")
    return width, height


def _png(data: bytes) -> Header:
    header: Header | None = None
    pixels = False
    for kind, body in _png_chunks(data):
        if header is None:
            if kind != b"IHDR" or len(body) != 13:
                raise UnreadablePicture("The PNG is damaged: its header is missing.")
            width, height, bits = struct.unpack_from(">IIB", body)
            if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
                raise UnreadablePicture("The PNG is damaged: it tells no size.")
            header = Header("png", width, height, sixteen_bit=bits == 16)
        elif kind == b"acTL":
            raise UnsupportedPicture("This PNG is animated. Send one of its frames.")
        elif kind == b"eXIf":
            header = Header("png", header.width, header.height, _orientation(body), header.sixteen_bit)
        pixels = pixels or kind == b"IDAT"
    if header is None or not pixels:
        raise _cut()
    return header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    view, at = memoryview(data), len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise _cut()
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise _cut()
        if zlib.crc32(view[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
            raise UnreadablePicture("The PNG is damaged: a checksum is wrong.")
        kind = bytes(view[at + 4 : at + 8])
        yield kind, view[at + 8 : end]
        if kind == b"IEND":
            return
        at = end + 4


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Name and body of each chunk in a WebP. Raises UnreadablePicture where the file is cut short."""
    view, at = memoryview(data), 12
    end = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 12 else len(data) + 1
    if end > len(data):
        raise _cut()
    while at + 8 <= end:
        (length,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + length > end:
            raise _cut()
        yield bytes(view[at : at + 4]), view[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


def _webp(data: bytes) -> Header:
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
            orientation = _orientation(bytes(body).removeprefix(b"Exif\0\0"))
    if frame is None or not all(frame):
        raise UnreadablePicture("The WebP is damaged: it holds no picture.")
    if canvas not in (None, frame):
        raise UnreadablePicture("The WebP is damaged: it tells two sizes.")
    return Header("webp", frame[0], frame[1], orientation)


def webp_frame_size(kind: bytes, body: memoryview) -> tuple[int, int]:
    """Width and height in pixels from the first bytes of a `VP8 ` (lossy) or `VP8L` (lossless) chunk; 0, 0 if bad."""
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


def _orientation(exif: bytes | memoryview) -> int:
    """The orientation in a TIFF structure; 1 where it says nothing sensible, as every viewer takes it."""
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
