"""Reads a JPEG's header, and checks its structure (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from layers.core.errors import UnreadablePicture, UnsupportedPicture
from layers.media.color_profile import JPEG_PROFILE, join_parts
from layers.media.exif import read_orientation
from layers.media.header import FileTraits, Header, Sampling, truncated
from layers.media.jpeg_quality import estimate_quality

_QUANTIZATION, _START_OF_SCAN, _END_OF_IMAGE, _APP1, _APP2 = 0xDB, 0xDA, 0xD9, 0xE1, 0xE2
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC9, 0xCA}
_UNSUPPORTED_FRAMES = {0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF}
# The next marker in or after entropy-coded data: 0xFF, then neither a stuffed zero, nor fill, nor a restart.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_MAX_SCANS = 100  # a progressive JPEG has about ten; each costs a pass over the whole picture


class _Segment(NamedTuple):
    marker: int
    body: memoryview
    end: int  # in the file; of a scan, with its entropy-coded data


@dataclass(frozen=True)
class _Frame:
    """A frame header: size in pixels, and of each component its factors of sampling and its quantization table."""

    width: int
    height: int
    factors: list[tuple[int, int]]
    tables: list[int]


def probe_jpeg(data: bytes) -> Header:
    """Read the header of a whole JPEG. Raises UnsupportedPicture or UnreadablePicture."""
    frame: _Frame | None = None
    orientation: int | None = None
    tables: dict[int, tuple[int, ...]] = {}
    profile: list[bytes] = []
    scans = 0
    for marker, body, _ in _segments(data):
        if marker == _APP1 and orientation is None and bytes(body[:6]) == b"Exif\0\0":
            orientation = read_orientation(body[6:])
        elif marker == _APP2 and bytes(body[: len(JPEG_PROFILE)]) == JPEG_PROFILE:
            profile.append(bytes(body[len(JPEG_PROFILE) :]))
        elif marker == _QUANTIZATION:
            tables |= _parse_tables(body)
        elif marker in _FRAMES:
            frame = _parse_frame(body)
        elif marker in _UNSUPPORTED_FRAMES:
            raise UnsupportedPicture("This is a lossless or hierarchical JPEG. Save it as an ordinary one.")
        elif marker == _START_OF_SCAN:
            scans += 1
            if scans > _MAX_SCANS:
                raise UnreadablePicture("The JPEG has too many scans.")
    if not scans:
        raise truncated()
    if not frame or not frame.width or not frame.height:
        raise UnreadablePicture("The JPEG is damaged: it has no size.")
    grey = len(frame.factors) == 1
    traits = FileTraits(
        sampling=_describe_sampling(frame),
        qualities=_estimate_qualities(frame, tables),
        profile=join_parts(profile) if profile else None,
    )
    return Header("jpeg", frame.width, frame.height, orientation or 1, grey=grey, traits=traits)


def _segments(data: bytes) -> Iterator[_Segment]:
    """Yield each segment up to the end mark. Raises UnreadablePicture if the file ends before it."""
    view, at = memoryview(data), 2
    while True:
        while data[at : at + 2] == b"\xff\xff":  # fill
            at += 1
        if at + 2 > len(data):
            raise truncated()
        if data[at] != 0xFF:
            raise UnreadablePicture("The JPEG is damaged: a marker is missing.")
        marker = data[at + 1]
        if marker == _END_OF_IMAGE:
            return
        if at + 4 > len(data):
            raise truncated()
        (length,) = struct.unpack_from(">H", data, at + 2)
        body, end = view[at + 4 : at + 2 + length], at + 2 + length
        if length < 2 or end > len(data):
            raise truncated()
        if marker == _START_OF_SCAN:
            match = _NEXT_MARKER.search(data, end)
            end = match.start() if match else len(data)
        yield _Segment(marker, body, end)
        at = end


def _parse_frame(body: memoryview) -> _Frame:
    if len(body) < 6:
        raise truncated()
    bits, height, width, count = struct.unpack_from(">BHHB", body)
    if bits != 8 or count not in (1, 3, 4):
        raise UnsupportedPicture(f"This JPEG has {count} channels of {bits} bits. Save it with 8 bits per channel.")
    if len(body) < 6 + 3 * count:
        raise truncated()
    components = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    factors = [(each[1] >> 4, each[1] & 15) for each in components]
    return _Frame(width, height, factors, [each[2] for each in components])


def _parse_tables(body: memoryview) -> dict[int, tuple[int, ...]]:
    """The quantization tables of a segment by their number; steps of 8 or 16 bits."""
    tables: dict[int, tuple[int, ...]] = {}
    at = 0
    while at < len(body):
        number, size = body[at] & 15, 2 if body[at] >> 4 else 1
        if at + 1 + 64 * size > len(body):
            break  # the decoder says what is wrong with it
        tables[number] = struct.unpack_from(">64H" if size == 2 else ">64B", body, at + 1)
        at += 1 + 64 * size
    return tables


def _describe_sampling(frame: _Frame) -> Sampling:
    """How much coarser colours are stored than brightness; what has no name of its own gets the next finer one."""
    if len(frame.factors) == 1:
        return "4:4:4"
    luma, chroma = frame.factors[0], frame.factors[1:3]
    across = luma[0] / max(max(factor[0] for factor in chroma), 1)
    down = luma[1] / max(max(factor[1] for factor in chroma), 1)
    if down >= 2:
        return "4:2:0" if across >= 2 else "4:4:0"
    return "4:1:1" if across >= 4 else "4:2:2" if across >= 2 else "4:4:4"


def _estimate_qualities(frame: _Frame, tables: dict[int, tuple[int, ...]]) -> tuple[int, int] | None:
    """The qualities of brightness and colours; None where a table is missing."""
    luma, chroma = tables.get(frame.tables[0]), tables.get(frame.tables[min(1, len(frame.tables) - 1)])
    if not luma or not chroma:
        return None
    return estimate_quality(luma), estimate_quality(chroma, chroma=len(frame.tables) > 1)
