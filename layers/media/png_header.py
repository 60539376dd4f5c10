"""Reads a PNG's header, and checks its structure (the W3C's third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace

from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.color_profile import COLOR_CHUNKS, inflate_profile
from layers.media.exif import read_orientation
from layers.media.formats import PNG_SIGNATURE
from layers.media.header import FileTraits, Header, truncated

_GREY, _GREY_WITH_ALPHA = 0, 4  # colour types
_MAX_COLOR_BYTES = 32
_BIT_DEPTH_AT = 24  # in the file
# Chunks whose loss changes no pixel: text, time, and how colours and sizes are meant.
_DISPENSABLE = {
    *(b"tEXt", b"zTXt", b"iTXt", b"tIME", b"eXIf", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"mDCV", b"cLLI"),
    *(b"sBIT", b"bKGD", b"hIST", b"pHYs", b"sPLT"),
}


def probe_png(data: bytes) -> Header:
    """Read the header of a whole PNG. Raises UnsupportedPicture or UnreadablePicture."""
    header: Header | None = None
    orientation: int | None = None
    profile: bytes | None = None
    pixels = False
    colors: dict[bytes, bytes] = {}
    broken = False
    for kind, body, intact in _chunks(data):
        if not intact and (header is None or kind not in _DISPENSABLE):
            raise UnreadablePicture("The PNG is damaged: a checksum is wrong.")
        if not intact:
            broken = True
        elif header is None:
            header = _parse_header(kind, body)
        elif kind == b"acTL":
            raise UnsupportedPicture("This PNG is animated. Send one of its frames.")
        elif kind == b"eXIf" and orientation is None:
            orientation = read_orientation(body)
        elif kind == b"tRNS" and header.grey and not pixels and len(body) == 2:
            header = replace(header, clear_level=_scale_level(body, data[_BIT_DEPTH_AT]))
        elif kind in COLOR_CHUNKS and kind not in colors and not pixels:
            colors[kind] = bytes(body[:_MAX_COLOR_BYTES])
        elif kind == b"iCCP" and profile is None:
            profile = inflate_profile(bytes(body))
        pixels = pixels or kind == b"IDAT"
    if header is None or not pixels:
        raise truncated()
    traits = FileTraits(lossless=True, profile=profile, color_chunks=tuple(colors.items()))
    return replace(header, orientation=orientation or 1, broken_chunks=broken, traits=traits)


def drop_broken_chunks(data: bytes) -> bytes:
    """The PNG without the chunks whose checksum is wrong."""
    bodies = [(kind, body) for kind, body, intact in _chunks(data) if intact]
    return PNG_SIGNATURE + b"".join(frame_png_chunk(kind, body) for kind, body in bodies)


def _parse_header(kind: bytes, body: memoryview) -> Header:
    if kind != b"IHDR" or len(body) != 13:
        raise UnreadablePicture("The PNG is damaged: its header is missing.")
    width, height, bits, colour_type = struct.unpack_from(">IIBB", body)
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise UnreadablePicture("The PNG is damaged: it has no size.")
    return Header("png", width, height, sixteen_bit=bits == 16, grey=colour_type in (_GREY, _GREY_WITH_ALPHA))


def _scale_level(body: memoryview, bits: int) -> int:
    """A grey level of that many bits, as a decoder gives it: in 8 or 16 bits."""
    level = int.from_bytes(body, "big") & ((1 << bits) - 1)
    return level if bits >= 8 else level * 255 // ((1 << bits) - 1)


def frame_png_chunk(kind: bytes, body: bytes | memoryview) -> bytes:
    """A chunk as it is in a file, with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _chunks(data: bytes) -> Iterator[tuple[bytes, memoryview, bool]]:
    """Yield name, body and whether the checksum is right, up to the end. Raises UnreadablePicture if there is none."""
    view, at = memoryview(data), len(PNG_SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise truncated()
        (length,) = struct.unpack_from(">I", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise truncated()
        intact = zlib.crc32(view[at + 4 : end]) == struct.unpack_from(">I", data, end)[0]
        kind = bytes(view[at + 4 : at + 8])
        yield kind, view[at + 8 : end], intact
        if kind == b"IEND":
            return
        at = end + 4
