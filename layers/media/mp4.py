"""Reads the index of an MP4 or MOV file before any decoder sees the file, and where its first seconds lie.

ISO/IEC 14496-12 (ISO base media file format) and Apple's QuickTime File Format; both name every box used here.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from layers.core.errors import UnreadableMedia

# Returns `count` bytes from `offset` on, or raises; what it raises goes through to the caller.
ReadBytes = Callable[[int, int], bytes]

MAX_INDEX_BYTES = 16 << 20  # of a moov box; an hour of video has about 2 MB
_MAX_BOXES = 1000  # in one box, or at the top level
_MAX_EDITS = 8  # more come from no camera
_MAX_SAMPLES = 200_000  # looked at for a window: 55 minutes of 60 frames a second
_SAMPLE_ENTRY_BYTES = 86  # of a video track, before the boxes in it
_REORDER_SECONDS = 0.5  # how much later than its display a frame may be stored; encoders reorder by 4 frames


@dataclass(frozen=True)
class Index:
    """The first video track. Width and height are in pixels as shown, after the rotation, in degrees clockwise."""

    codec: str  # the sample entry's four characters: avc1, hvc1, …
    width: int
    height: int
    rotation: int
    seconds: float  # that are shown: of the edit list where there is one
    fps: float | None
    fragmented: bool
    timescale: int  # ticks a second of the time stamps
    pixel_aspect: tuple[int, int]  # width to height of a pixel as shown, after the rotation
    transfer: (
        int | None
    )  # how brightness is coded, by ITU-T H.273; None where the file does not say it outside the video
    sound: str | None  # the first sound track's sample entry: mp4a, alac, Opus, …
    _table: _Table

    @property
    def most_frames(self) -> int:
        """The most frames that any of the file's tables promises, or `frames`."""
        return max(self._table.count, self._table.sizes)

    @property
    def frames(self) -> int:
        """How many frames the file holds; for a fragmented file only those that its index lists."""
        return self._table.count

    @property
    def samples_end(self) -> int:
        """One past the last byte of its frames in the file; 0 where that is unknown."""
        span = self._table.span(float("inf"))
        return span[1] if span else 0

    def window(self, seconds: float) -> tuple[int, int] | None:
        """The range of bytes (first, one past the last) that decodes to the first `seconds`, beside the index itself.

        None where that is unknown, or is the whole video.
        """
        if self.fragmented or seconds + _REORDER_SECONDS >= self.seconds:
            return None
        return self._table.span(seconds + self._table.skip_seconds + _REORDER_SECONDS)


def read_index(read_bytes: ReadBytes, size: int) -> Index:
    """Read the index of a file of `size` bytes. Raises UnreadableMedia, and what `read_bytes` raises."""
    try:
        return _parse_movie(_find_movie(read_bytes, size))
    except (struct.error, IndexError, KeyError, ValueError, ZeroDivisionError, OverflowError):
        raise UnreadableMedia("The video's index is damaged.") from None


def _find_movie(read_bytes: ReadBytes, size: int) -> bytes:
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > size:
            break
        kind, head, length = _parse_box_head(read_bytes(at, min(16, size - at)), size - at)
        if at == 0 and kind not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            break
        if kind == b"moov":
            if length > MAX_INDEX_BYTES or at + length > size:
                raise UnreadableMedia("The video's index is truncated, or far too large.")
            return read_bytes(at, length)[head:]
        at += length
    raise UnreadableMedia("This is not an MP4 video, or it has no index.")


def _parse_box_head(data: bytes, left: int) -> tuple[bytes, int, int]:
    """The kind of a box, the bytes of its head, and its bytes in all, where `left` bytes are left."""
    length, kind = struct.unpack_from(">I4s", data)
    head = 8
    if length == 1:
        (length,) = struct.unpack_from(">Q", data, 8)
        head = 16
    elif length == 0:
        length = left
    if length < head:
        raise ValueError("a box shorter than its head")
    return kind, head, length


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(data):
            return
        kind, head, length = _parse_box_head(data[at : at + 16], len(data) - at)
        if at + length > len(data):
            raise ValueError("a box longer than the one around it")
        yield kind, data[at + head : at + length]
        at += length


def _children(data: bytes) -> dict[bytes, bytes]:
    """The first box of each kind."""
    children: dict[bytes, bytes] = {}
    for kind, body in _boxes(data):
        children.setdefault(kind, body)
    return children


def _parse_movie(movie: bytes) -> Index:
    boxes = list(_boxes(movie))
    fragmented = any(kind == b"mvex" for kind, _ in boxes)
    clock = next((_parse_clock(body) for kind, body in boxes if kind == b"mvhd"), (0, 0))[0]
    tracks = [_children(body) for kind, body in boxes if kind == b"trak"]
    medias = [_children(track.get(b"mdia", b"")) for track in tracks]
    for track, media in zip(tracks, medias, strict=True):
        if media.get(b"hdlr", b"")[8:12] == b"vide":
            return _parse_video(track, media, fragmented, clock, _find_sound(medias))
    raise UnreadableMedia("This file has no video track.")


def _parse_clock(head: bytes) -> tuple[int, int]:
    """Ticks a second, and ticks in all, of a movie's or a media's header."""
    scale, duration = struct.unpack_from(">IQ" if head[0] == 1 else ">II", head, 20 if head[0] == 1 else 12)
    return scale, duration


def _find_sound(medias: list[dict[bytes, bytes]]) -> str | None:
    """The sample entry of the first sound track."""
    for media in medias:
        if media.get(b"hdlr", b"")[8:12] == b"soun":
            with contextlib.suppress(ValueError, KeyError, struct.error):
                table = _children(_children(media[b"minf"])[b"stbl"])
                return table[b"stsd"][12:16].decode("latin-1")
    return None


def _parse_video(
    track: dict[bytes, bytes], media: dict[bytes, bytes], fragmented: bool, clock: int, sound: str | None
) -> Index:
    """`clock`: ticks a second of the movie, by which edit lists count."""
    scale, duration = _parse_clock(media[b"mdhd"])
    table = _children(_children(media[b"minf"])[b"stbl"])
    _, _, entry = _parse_box_head(table[b"stsd"][8:24], len(table[b"stsd"]) - 8)
    codec, width, height = struct.unpack_from(">4s24xHH", table[b"stsd"], 12)
    if entry < _SAMPLE_ENTRY_BYTES or not scale or not (width and height):
        raise ValueError("no sample entry of a video track")
    head = track[b"tkhd"]
    matrix = struct.unpack_from(">ii4xii", head, 52 if head[0] == 1 else 40)
    angles = {(0, 1, -1, 0): 90, (-1, 0, 0, -1): 180, (0, -1, 1, 0): 270}
    rotation = angles.get(tuple((value > 0) - (value < 0) for value in matrix), 0)
    aspect, transfer = _parse_look(table[b"stsd"][8 : 8 + entry])
    if rotation % 180:
        width, height = height, width
        aspect = aspect[1], aspect[0]
    edits = _parse_edits(track, clock, scale)
    samples = _Table(table, scale, edits[0][1] if edits else 0.0)
    fps = samples.count * scale / duration if duration and samples.count else None
    seconds = duration / scale
    # An edit of no length lasts as long as the media: so fragmented files are written.
    shown = sum(min(length or seconds, seconds) for length, _ in edits)
    seconds = shown if shown > 0 else seconds
    return Index(
        codec=codec.decode("latin-1"),
        width=width,
        height=height,
        rotation=rotation,
        seconds=seconds,
        fps=fps,
        fragmented=fragmented,
        timescale=scale,
        pixel_aspect=aspect,
        transfer=transfer,
        sound=sound,
        _table=samples,
    )


def _parse_look(entry: bytes) -> tuple[tuple[int, int], int | None]:
    """The shape of a pixel, width to height, and how brightness is coded, from a video's sample entry."""
    aspect, transfer = (1, 1), None
    with contextlib.suppress(ValueError, struct.error):  # old QuickTime files have other things there
        boxes = _children(entry[_SAMPLE_ENTRY_BYTES:])
        if b"pasp" in boxes:
            across, down = struct.unpack_from(">II", boxes[b"pasp"])
            aspect = (across, down) if across and down else aspect
        if boxes.get(b"colr", b"")[:4] in (b"nclx", b"nclc"):
            (transfer,) = struct.unpack_from(">H", boxes[b"colr"], 6)
    return aspect, transfer


def _parse_edits(track: dict[bytes, bytes], clock: int, scale: int) -> list[tuple[float, float]]:
    """The pieces of the media that are shown: seconds of each, and where it starts in the media."""
    edits = _children(track.get(b"edts", b"")).get(b"elst")
    if not edits:
        return []
    (count,) = struct.unpack_from(">I", edits, 4)
    long = edits[0] == 1
    pieces = []
    for number in range(min(count, _MAX_EDITS)):
        length, start = struct.unpack_from(">Qq" if long else ">Ii", edits, 8 + number * (20 if long else 12))
        if start >= 0:
            pieces.append((length / clock if clock else 0.0, start / scale))
    return pieces


class _Table:
    """Where samples lie and when they are decoded: the boxes stts, stsc, stsz, and stco or co64."""

    def __init__(self, boxes: dict[bytes, bytes], scale: int, skip_seconds: float) -> None:
        self._boxes = boxes
        self._scale = scale
        self.skip_seconds = skip_seconds
        self._times = [(count, delta) for count, delta in _parse_rows(boxes.get(b"stts", bytes(8)), ">II")]
        self.count = sum(count for count, _ in self._times)
        sizes = boxes.get(b"stsz", b"")
        self.sizes: int = struct.unpack_from(">I", sizes, 8)[0] if len(sizes) >= 12 else 0

    def span(self, seconds: float) -> tuple[int, int] | None:
        """The range of bytes (first, one past the last) of the samples decoded before that time; None if unknown."""
        try:
            return self._span(self._before(seconds * self._scale) if seconds < float("inf") else self.sizes)
        except (struct.error, IndexError, KeyError, ValueError):
            return None

    def _before(self, ticks: float) -> int:
        """How many samples are decoded before that time."""
        now = samples = 0
        for count, delta in self._times:
            if delta and now + count * delta >= ticks:
                return samples + int((ticks - now) // delta) + 1
            samples, now = samples + count, now + count * delta
        return samples

    def _span(self, samples: int) -> tuple[int, int] | None:
        sizes = self._boxes[b"stsz"]
        fixed, count = struct.unpack_from(">II", sizes, 4)
        if not 0 < samples <= min(count, _MAX_SAMPLES):
            return None
        wide = b"co64" in self._boxes
        offsets = self._boxes[b"co64" if wide else b"stco"]
        first = last = number = 0
        for chunk, chunk_samples in enumerate(self._samples_per_chunk(samples)):
            (start,) = struct.unpack_from(">Q" if wide else ">I", offsets, 8 + chunk * (8 if wide else 4))
            read_count = min(chunk_samples, samples - number)
            length = fixed * read_count if fixed else sum(struct.unpack_from(f">{read_count}I", sizes, 12 + 4 * number))
            first = min(first, start) if chunk else start
            last = max(last, start + length)
            number += read_count
        return (first, last) if number == samples else None

    def _samples_per_chunk(self, samples: int) -> Iterator[int]:
        """Yield how many samples each chunk holds, until there are that many in all."""
        runs = [(first, chunk_samples) for first, chunk_samples, _ in _parse_rows(self._boxes[b"stsc"], ">III")]
        total = 0
        for (first, chunk_samples), (next_first, _) in zip(runs, [*runs[1:], (1 << 32, 0)], strict=True):
            if chunk_samples < 1:
                raise ValueError("an empty chunk")
            for _ in range(first, next_first):
                if total >= samples:
                    return
                yield chunk_samples
                total += chunk_samples


def _parse_rows(body: bytes, form: str) -> Iterator[tuple[int, ...]]:
    """The rows of a full box that begins with their number."""
    (count,) = struct.unpack_from(">I", body, 4)
    size = struct.calcsize(form)
    if 8 + count * size > len(body):
        raise ValueError("fewer rows than it says")
    return struct.iter_unpack(form, body[8 : 8 + count * size])
