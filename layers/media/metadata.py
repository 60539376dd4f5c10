"""Puts metadata into a picture that OpenCV encoded: a segment of a JPEG, a chunk of a PNG or WebP.

JPEG: ITU-T T.81 annex B. PNG: the W3C's third edition. WebP: RFC 9649.
"""

from __future__ import annotations

import struct
import zlib

from layers.media.color_profile import JPEG_PROFILE
from layers.media.formats import PNG_SIGNATURE, PictureFormat
from layers.media.png_header import frame_png_chunk
from layers.media.webp_header import webp_chunks, webp_frame_size

_MAX_PART_BYTES = 65_535 - 2 - len(JPEG_PROFILE) - 2  # of a profile in a segment of a JPEG
_PNG_PROFILE_NAME = b"ICC profile\0\0"  # its name, and that it is compressed
_PNG_HEADER_BYTES = 25  # the chunk that is always the first
_WEBP_FLAGS = {b"ICCP": 0x20, b"ALPH": 0x10, b"EXIF": 0x08, b"XMP ": 0x04}
_USES_ALPHA = 0x10  # in the fifth byte of lossless data


def embed_profile(data: bytes, format: PictureFormat, profile: bytes) -> bytes:
    """Put a profile into a picture that OpenCV encoded."""
    if format == "webp":
        return add_webp_chunk(data, b"ICCP", profile)
    if format == "png":
        return add_png_chunk(data, b"iCCP", _PNG_PROFILE_NAME + zlib.compress(profile))
    parts = [profile[at : at + _MAX_PART_BYTES] for at in range(0, len(profile), _MAX_PART_BYTES)]
    for number in range(len(parts), 0, -1):  # each is put before those that are there
        data = add_jpeg_segment(data, 0xE2, JPEG_PROFILE + bytes((number, len(parts))) + parts[number - 1])
    return data


def add_jpeg_segment(data: bytes, marker: int, body: bytes) -> bytes:
    """Put an APP segment before the others; JFIF's own stays the first."""
    at = 2
    if data[2:4] == b"\xff\xe0":
        at += 2 + struct.unpack_from(">H", data, 4)[0]
    return _insert(data, at, struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body)


def add_png_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Put a chunk after the header."""
    return _insert(data, len(PNG_SIGNATURE) + _PNG_HEADER_BYTES, frame_png_chunk(kind, body))


def add_webp_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """Add a chunk, in the extended format, whose first chunk announces what follows; a profile comes before pixels."""
    chunks = [(name, bytes(content)) for name, content in webp_chunks(data) if name not in (b"VP8X", kind)]
    chunks.insert(0 if kind == b"ICCP" else len(chunks), (kind, body))
    flags, size = 0, (0, 0)
    for name, content in chunks:
        flags |= _WEBP_FLAGS.get(name, 0)
        if name in (b"VP8 ", b"VP8L"):
            size = webp_frame_size(name, memoryview(content))
        if name == b"VP8L" and content[4] & _USES_ALPHA:
            flags |= _WEBP_FLAGS[b"ALPH"]
    extended = struct.pack("<I", flags) + (size[0] - 1).to_bytes(3, "little") + (size[1] - 1).to_bytes(3, "little")
    file = b"WEBP" + b"".join(frame_webp_chunk(*chunk) for chunk in [(b"VP8X", extended), *chunks])
    return b"RIFF" + struct.pack("<I", len(file)) + file


def _insert(data: bytes, at: int, part: bytes) -> bytes:
    """Copies the file only once, since it may be large."""
    view = memoryview(data)
    return b"".join((view[:at], part, view[at:]))


def frame_webp_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk as it is in a file, with its length, padded to an even one."""
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)
