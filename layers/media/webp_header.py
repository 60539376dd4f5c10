"""Reads a WebP's header, and checks its structure (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.color_profile import MAX_PROFILE_BYTES
from layers.media.exif import read_orientation
from layers.media.header import FileTraits, Header, truncated

_ANIMATION_FLAG = 0x02


def probe_webp(data: bytes) -> Header:
    """Read the header of a whole WebP. Raises UnsupportedPicture or UnreadablePicture."""
    canvas: tuple[int, int] | None = None
    frame: tuple[int, int] | None = None
    orientation: int | None = None
    lossless = False
    profile: bytes | None = None
    for kind, body in webp_chunks(data):
        if kind == b"VP8X" and len(body) >= 10:
            if body[0] & _ANIMATION_FLAG:
                raise UnsupportedPicture("This WebP is animated. Send one of its frames.")
            canvas = _uint24(body, 4) + 1, _uint24(body, 7) + 1
        elif kind in (b"VP8 ", b"VP8L") and frame is None:
            frame = webp_frame_size(kind, body)
            lossless = kind == b"VP8L"
        elif kind == b"ICCP" and profile is None:
            profile = bytes(body) if len(body) <= MAX_PROFILE_BYTES else b""
        elif kind == b"EXIF" and orientation is None:
            orientation = read_orientation(bytes(body).removeprefix(b"Exif\0\0"))
    if frame is None or not all(frame):
        raise UnreadablePicture("The WebP is damaged: it holds no picture.")
    if canvas not in (None, frame):
        raise UnreadablePicture("The WebP is damaged: it has two different sizes.")
    traits = FileTraits("4:4:4" if lossless else "4:2:0", lossless=lossless, profile=profile)
    return Header("webp", frame[0], frame[1], orientation or 1, traits=traits)


def webp_chunks(data: bytes) -> Iterator[tuple[bytes, memoryview]]:
    """Yield name and body of each chunk of a WebP. Raises UnreadablePicture if the file is truncated."""
    view, at = memoryview(data), 12
    end = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 12 else len(data) + 1
    if end > len(data):
        raise truncated()
    while at + 8 <= end:
        (length,) = struct.unpack_from("<I", data, at + 4)
        if at + 8 + length > end:
            raise truncated()
        yield bytes(view[at : at + 4]), view[at + 8 : at + 8 + length]
        at += 8 + length + (length & 1)


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
