"""The kinds of moving pictures, told by their first bytes.

GIF: the specification of 1989. WebP: RFC 9649. APNG: the third edition of PNG. MP4 and MOV: ISO/IEC 14496-12 and the
QuickTime File Format. WebM: RFC 8794. Every still picture is asked about, so this imports no reader, and nothing of
ffmpeg.
"""

from __future__ import annotations

import struct
from typing import Final, Literal

from layers.media.formats import PNG_SIGNATURE, SNIFFED_BYTES

Kind = Literal["gif", "webp", "apng", "mp4", "mov", "webm"]

ANIMATIONS: Final[frozenset[Kind]] = frozenset({"gif", "webp", "apng"})
EBML: Final = b"\x1a\x45\xdf\xa3"
WEBP_ANIMATION: Final = 0x02  # flag of VP8X
_QUICKTIME_HEADS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_MAX_CHUNKS = 1 << 17  # before the pixels of a PNG


def sniff_moving(data: bytes | memoryview) -> Kind | None:
    """The kind of a moving picture, by the bytes before its pixels; None for any other file, stills included."""
    head = bytes(data[:SNIFFED_BYTES])
    if head.startswith(b"GIF8"):
        return "gif"
    if head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) > 20 and head[20] & WEBP_ANIMATION:
        return "webp"
    if head.startswith(PNG_SIGNATURE) and _announces_animation(memoryview(data)):
        return "apng"
    if head.startswith(EBML):
        return "webm"
    if head[4:8] == b"ftyp":
        return "mov" if head[8:12] == b"qt  " else "mp4"
    return "mov" if head[4:8] in _QUICKTIME_HEADS else None


def _announces_animation(png: memoryview) -> bool:
    """Whether a PNG has an animation's chunk before its pixels."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(png):
            return False
        length, kind = struct.unpack_from(">I4s", png, at)
        if kind in (b"acTL", b"IDAT"):
            return bool(kind == b"acTL")
        at += 12 + length
    return False
