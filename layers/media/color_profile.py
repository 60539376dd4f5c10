"""Colour profiles (ICC) as a picture's file has them: never applied, only brought back.

ICC.1:2022, 7.2 (header). Where a profile lives: ICC.1:2022 annex B (JPEG), the W3C's PNG 11.3.2.3, RFC 9649 (WebP).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

MAX_PROFILE_BYTES = 1 << 20  # a monitor's has a few thousand; those with tables for printers are larger, and are CMYK
JPEG_PROFILE = b"ICC_PROFILE\0"
_HEADER_BYTES = 128
# What a PNG may say instead: code points (ITU-T H.273), sRGB, gamma and chromaticities. These mean sRGB.
_SRGB_CHUNKS = {
    b"cICP": b"\1\x0d\0\1",
    b"gAMA": struct.pack(">I", 45_455),
    b"cHRM": struct.pack(">8I", 31_270, 32_900, 64_000, 33_000, 30_000, 60_000, 15_000, 6_000),
}
COLOR_CHUNKS = {*_SRGB_CHUNKS, b"sRGB"}


def join_parts(parts: Sequence[bytes]) -> bytes:
    """The profile in the segments of a JPEG, each from its number on; empty if one is missing, or it is too large."""
    if any(len(part) < 2 for part in parts) or sum(map(len, parts)) > MAX_PROFILE_BYTES + 2 * len(parts):
        return b""
    numbered = {part[0]: part[2:] for part in parts}
    if sorted(numbered) != list(range(1, len(parts) + 1)) or {part[1] for part in parts} != {len(parts)}:
        return b""
    return b"".join(numbered[number] for number in sorted(numbered))


def inflate_profile(chunk: bytes) -> bytes:
    """The profile in a PNG's `iCCP` chunk; empty if it cannot be read, or is too large."""
    inflater = zlib.decompressobj()
    try:
        profile = inflater.decompress(chunk.partition(b"\0")[2][1:], MAX_PROFILE_BYTES + 1)
    except zlib.error:
        return b""
    return profile if inflater.eof else b""


def fits(profile: bytes, *, grey: bool) -> bool:
    """Whether this is a profile that a picture of one channel (`grey`), or of three, can have."""
    if not _HEADER_BYTES <= len(profile) <= MAX_PROFILE_BYTES or profile[36:40] != b"acsp":
        return False
    return profile[16:20] == (b"GRAY" if grey else b"RGB ")


def means_srgb(chunks: Mapping[bytes, bytes], *, profile: bool) -> bool:
    """Whether a PNG's chunks say nothing but sRGB. `cICP` overrules all others, a profile and `sRGB` all but that."""
    if b"cICP" in chunks:
        return chunks[b"cICP"] == _SRGB_CHUNKS[b"cICP"]
    return profile or b"sRGB" in chunks or all(_SRGB_CHUNKS[kind] == body for kind, body in chunks.items())
