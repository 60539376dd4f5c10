"""Walks through a WebM without decoding any pixel (RFC 8794, EBML; RFC 9559, Matroska)."""

from __future__ import annotations

import struct
from collections.abc import Container, Iterator
from dataclasses import dataclass

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.moving.gif_blocks import Buffer
from layers.media.moving.kinds import EBML

_MAX_ELEMENTS = 1 << 16  # a minute has a few thousand
_SEGMENT, _INFO, _TRACKS, _CLUSTER, _GROUP = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0xA0
_TRACK, _VIDEO, _COLOUR = 0xAE, 0xE0, 0x55B0
# Their size is often unknown and never needed: what they hold comes next.
_ENTERED = (_SEGMENT, _INFO, _TRACKS, _CLUSTER, _GROUP)
_SCALE, _DURATION, _TIME, _SIMPLE_BLOCK, _BLOCK = 0x2AD7B1, 0x4489, 0xE7, 0xA3, 0xA1
_NUMBER, _KIND, _CODEC, _WIDTH, _HEIGHT, _TRANSFER = 0xD7, 0x83, 0x86, 0xB0, 0xBA, 0x55BA
_VIDEO_TRACK, _SOUND_TRACK = 1, 2


@dataclass
class WebmFile:
    """The structure of a WebM: its first video track, and the codec of its first sound track."""

    codec: str | None = None
    width: int = 0
    height: int = 0
    transfer: int | None = None  # by ITU-T H.273
    sound: str | None = None
    frames: int = 0
    seconds: float = 0.0
    truncated: bool = False


def read_webm(data: Buffer) -> WebmFile:
    """Read the structure of a WebM. Raises UnreadablePicture, or PictureTooLarge for endless small elements."""
    if bytes(data[:4]) != EBML:
        raise UnreadablePicture("This is not a WebM.")
    file, view = WebmFile(), memoryview(data)
    number, scale, cluster, first, last, duration = 0, 1_000_000, 0, None, 0, 0.0
    for kind, body, whole in _elements(view, _ENTERED):
        if kind == _TRACK:
            number = _read_track(body, file) or number
        elif kind == _SCALE:
            scale = _uint(body) or scale
        elif kind == _DURATION and len(body) in (4, 8):
            (duration,) = struct.unpack(">f" if len(body) == 4 else ">d", body)
        elif kind == _TIME:
            cluster = _uint(body)
        elif kind in (_SIMPLE_BLOCK, _BLOCK) and whole and number and _block_track(body) == number:
            at = cluster + _block_time(body)
            first = at if first is None else min(first, at)
            last = max(last, at)
            file.frames += 1
        file.truncated = not whole
    if not (file.codec and file.width and file.height and file.frames):
        raise UnreadablePicture("The WebM is truncated or damaged, or holds no video.")
    average = (last - (first or 0)) / max(1, file.frames - 1)
    shown = max(last + average, duration if 0 < duration < 1e12 else 0.0)
    file.seconds = (shown - (first or 0)) * scale / 1e9
    return file


def _elements(view: memoryview, entered: Container[int] = ()) -> Iterator[tuple[int, memoryview, bool]]:
    """Yield name, body, and whether all of it is there, of each element; of those `entered`, what they hold instead."""
    at = 0
    for _ in range(_MAX_ELEMENTS):
        if at >= len(view):
            return
        kind, at = _vint(view, at, keep=True)
        size, body = _vint(view, at)
        if not kind or not body:
            return
        if kind in entered:
            at = body
            continue
        at = body + size
        yield kind, view[body:at], at <= len(view)
    raise PictureTooLarge("The WebM consists of far too many small elements. Save it again with another program.")


def _children(view: memoryview) -> dict[int, memoryview]:
    """The bodies of the elements by their names; of several with one name, the first."""
    return dict(reversed([(kind, body) for kind, body, _ in _elements(view)]))


def _vint(view: memoryview, at: int, keep: bool = False) -> tuple[int, int]:
    """A number of variable length and where the next byte is; (0, 0) if there is none. `keep`: with its length mark."""
    if not 0 < at + 1 <= len(view) or not view[at]:
        return 0, 0
    length = 9 - view[at].bit_length()
    value = int.from_bytes(view[at : at + length], "big")
    if at + length > len(view):
        return 0, 0
    return (value if keep else value & (1 << 7 * length) - 1), at + length


def _read_track(body: memoryview, file: WebmFile) -> int | None:
    """Take over what a track says; the number of the video track, if this is the first."""
    fields = _children(body)
    kind = _uint(fields.get(_KIND, memoryview(b"")))
    codec = bytes(fields.get(_CODEC, b"")[:32]).decode("latin-1").rstrip("\0")
    if kind == _SOUND_TRACK and file.sound is None:
        file.sound = codec
    if kind != _VIDEO_TRACK or file.codec is not None:
        return None
    file.codec = codec
    video = _children(fields.get(_VIDEO, memoryview(b"")))
    file.width, file.height = (_uint(video.get(name, memoryview(b""))) for name in (_WIDTH, _HEIGHT))
    colour = _children(video.get(_COLOUR, memoryview(b"")))
    file.transfer = _uint(colour[_TRANSFER]) if _TRANSFER in colour else None
    return _uint(fields.get(_NUMBER, memoryview(b"")))


def _block_track(body: memoryview) -> int:
    return _vint(body, 0)[0]


def _block_time(body: memoryview) -> int:
    """Ticks after the cluster's time."""
    _, at = _vint(body, 0)
    return int.from_bytes(body[at : at + 2], "big", signed=True)


def _uint(body: memoryview) -> int:
    return int.from_bytes(body[:8], "big")
