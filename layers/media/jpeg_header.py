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
_PROGRESSIVE, _ARITHMETIC = {0xC2, 0xCA}, {0xC9, 0xCA}
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
    """A frame header: size in pixels, and of each component its name, factors of sampling and quantization table."""

    progressive: bool
    arithmetic: bool
    width: int
    height: int
    components: list[int]
    factors: list[tuple[int, int]]
    tables: list[int]


class _Parts:
    """What the segments of a JPEG say, one after another."""

    def __init__(self) -> None:
        self.frame: _Frame | None = None
        self.orientation: int | None = None
        self.profile: list[bytes] = []
        self.tables: dict[int, tuple[int, ...]] = {}
        self.scans = 0
        self.scans_end: int | None = None  # once all of the picture has been described
        self._missing: set[tuple[int, int]] = set()  # components and coefficients not yet described to their last bit

    def add(self, marker: int, body: memoryview, end: int) -> None:
        """Raises UnsupportedPicture or UnreadablePicture."""
        if marker == _START_OF_SCAN:
            self._add_scan(body, end)
        elif self.scans_end is not None:
            return  # behind the picture, where the trailers of phones are
        elif marker == _APP1 and self.orientation is None and bytes(body[:6]) == b"Exif\0\0":
            self.orientation = read_orientation(body[6:])
        elif marker == _APP2 and bytes(body[: len(JPEG_PROFILE)]) == JPEG_PROFILE:
            self.profile.append(bytes(body[len(JPEG_PROFILE) :]))
        elif marker == _QUANTIZATION:
            self.tables |= _parse_tables(body)
        elif marker in _FRAMES:
            self.frame = _parse_frame(marker, body)
            self._missing = {(name, index) for name in self.frame.components for index in range(64)}
        elif marker in _UNSUPPORTED_FRAMES:
            raise UnsupportedPicture("This is a lossless or hierarchical JPEG. Save it as an ordinary one.")

    def _add_scan(self, body: memoryview, end: int) -> None:
        self.scans += 1
        if self.frame and self.scans_end is None:
            self._missing -= set(_describe_scan(body, self.frame))
            self.scans_end = None if self._missing else end


def probe_jpeg(data: bytes) -> Header:
    """Read the header of a whole JPEG, which may lack its end mark, or have a trailer in its place.

    Raises UnsupportedPicture or UnreadablePicture.
    """
    parts = _Parts()
    has_end_mark = True
    try:
        for segment in _segments(data):
            parts.add(*segment)
    except UnreadablePicture:
        if parts.scans_end is None or (parts.frame and parts.frame.arithmetic):
            raise
        has_end_mark = False
    frame = parts.frame
    if not parts.scans:
        raise truncated()
    if parts.scans > _MAX_SCANS:
        raise UnreadablePicture("The JPEG has too many scans.")
    if not frame or not frame.width or not frame.height:
        raise UnreadablePicture("The JPEG is damaged: it has no size.")
    return Header(
        "jpeg",
        frame.width,
        frame.height,
        parts.orientation or 1,
        grey=len(frame.components) == 1,
        scans_end=None if has_end_mark else parts.scans_end,
        traits=FileTraits(
            sampling=_describe_sampling(frame),
            qualities=_estimate_qualities(frame, parts.tables),
            profile=join_parts(parts.profile) if parts.profile else None,
        ),
    )


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
            end = match.start() if match else len(data) - data.endswith(b"\xff")  # half an end mark is none
        yield _Segment(marker, body, end)
        at = end


def _parse_frame(marker: int, body: memoryview) -> _Frame:
    if len(body) < 6:
        raise truncated()
    bits, height, width, count = struct.unpack_from(">BHHB", body)
    if bits != 8 or count not in (1, 3, 4):
        raise UnsupportedPicture(f"This JPEG has {count} channels of {bits} bits. Save it with 8 bits per channel.")
    if len(body) < 6 + 3 * count:
        raise truncated()
    components = [body[6 + 3 * index : 9 + 3 * index] for index in range(count)]
    factors = [(each[1] >> 4, each[1] & 15) for each in components]
    names, tables = [each[0] for each in components], [each[2] for each in components]
    return _Frame(marker in _PROGRESSIVE, marker in _ARITHMETIC, width, height, names, factors, tables)


def _describe_scan(body: memoryview, frame: _Frame) -> Iterator[tuple[int, int]]:
    """Yield component and coefficient of all that a scan describes to the last bit."""
    count = body[0] if body else 0
    if not count or len(body) < 4 + 2 * count:
        return
    first, last, bits = body[1 + 2 * count : 4 + 2 * count]
    if not frame.progressive:
        first, last, bits = 0, 63, 0
    if bits & 15 == 0:
        for name in body[1 : 1 + 2 * count : 2]:
            yield from ((name, index) for index in range(first, min(last, 63) + 1))


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
    if len(frame.components) == 1:
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
