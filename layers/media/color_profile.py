"""Colour profiles (ICC) as a picture's file has them: never applied, only brought back.

ICC.1:2022, 7.2 (header). Where a profile lives: ICC.1:2022 annex B (JPEG), the W3C's PNG 11.3.2.3, RFC 9649 (WebP).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

MAX_PROFILE_BYTES = 1 << 20  # a monitor's has a few thousand; those with tables for printers are larger, and are CMYK
JPEG_PROFILE = b"ICC_PROFILE\0"
_HEADER_BYTES = 128


def join_parts(parts: Sequence[bytes]) -> bytes:
    """The profile in the segments of a JPEG, each from its number on; empty if one is missing."""
    if any(len(part) < 2 for part in parts):
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
