"""Writes raw frames with exact times for ffmpeg to read from a pipe: NUT, FFmpeg's own container.

"NUT Open Container Format", https://ffmpeg.org/nut.txt. Other formats for raw frames have one rate for all of them, or
count in milliseconds.
"""

from __future__ import annotations

import struct
from typing import IO

from layers.media.picture import Pixels

_FILE_ID = b"nut/multimedia container\0"
_MAIN, _STREAM, _SYNC = 0x4E4D7A561F5F04AD, 0x4E5311405BF2F9DB, 0x4E4BE4ADEECA4569
_MAX_DISTANCE = 65_536  # bytes after which a frame's head needs a checksum
_KEY, _CODED_PTS, _SIZE_MSB, _CHECKSUM, _INVALID = 1, 8, 32, 64, 8192
_VIDEO = 0
_PTS_SHIFT = 7  # below 2 ** 7 a coded time would be a difference
_FOURCCS = {3: b"BGR\x18", 4: b"BGRA"}


class NutWriter:
    """One stream of raw BGR or BGRA frames."""

    def __init__(
        self,
        out: IO[bytes],
        width: int,
        height: int,
        channels: int,
        timescale: int,
        pixel_aspect: tuple[int, int] = (1, 1),
    ) -> None:
        """`timescale`: ticks a second of the times that `write` gets."""
        self._out = out
        main = b"".join(map(_number, (3, 1, _MAX_DISTANCE, 1, 1, timescale)))
        flags = _KEY | _CODED_PTS | _SIZE_MSB | _CHECKSUM
        # Frame code 0 is every frame's; all others are invalid. The letter N always is, and is not counted.
        main += _codes(flags, 1) + _codes(_INVALID, 254) + _number(0)
        stream = b"".join(map(_number, (0, _VIDEO)))
        stream += _number(4) + _FOURCCS[channels]
        stream += b"".join(map(_number, (0, _PTS_SHIFT, timescale, 0, 0, 0)))
        stream += b"".join(map(_number, (width, height, *pixel_aspect, 0)))
        out.write(_FILE_ID + _packet(_MAIN, main) + _packet(_STREAM, stream))

    def write(self, pixels: Pixels, ticks: int) -> None:
        """Write a contiguous frame, uint8 [H, W, channels], that is shown from that time on."""
        head = b"\0" + _number(ticks + (1 << _PTS_SHIFT)) + _number(pixels.nbytes)
        sync = _packet(_SYNC, _number(ticks) + _number(0))
        self._out.write(sync + head + struct.pack(">I", _checksum(head)))
        self._out.write(pixels.data)


def _codes(flags: int, count: int) -> bytes:
    """A run of frame codes: flags and six fields (time, multiplier, stream, size, reserved, count)."""
    return b"".join(map(_number, (flags, 6))) + b"\0" + b"".join(map(_number, (1, 0, 0, 0, count)))


def _number(value: int) -> bytes:
    """Seven bits a byte, the highest first; all bytes but the last have their top bit set."""
    parts = [value & 0x7F]
    while value := value >> 7:
        parts.append(value & 0x7F | 0x80)
    return bytes(reversed(parts))


def _packet(start: int, body: bytes) -> bytes:
    return struct.pack(">Q", start) + _number(len(body) + 4) + body + struct.pack(">I", _checksum(body))


def _checksum(data: bytes) -> int:
    """CRC-32 with the generator 0x04C11DB7, the highest bit first, from 0, not inverted."""
    value = 0
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value
