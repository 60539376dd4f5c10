"""Walks through the blocks of a GIF without decoding any pixel (GIF89a; what browsers make of it where they differ)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from fractions import Fraction

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.moving.description import Limits, MovingPicture

Buffer = bytes | memoryview

_MAX_BLOCKS = 1 << 17
_MAX_SUB_BLOCKS = 1 << 21  # 200 MiB of full ones have 0.8 million
_EXTENSION, _IMAGE, _TRAILER, _FILLER = 0x21, 0x2C, 0x3B, 0x00
_GRAPHIC_CONTROL, _APPLICATION = 0xF9, 0xFF
_LOOPING = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_SHORTEST_PLAYED = 2  # hundredths of a second; browsers play what is shorter as a tenth
_INSTEAD = 10


@dataclass(frozen=True)
class GifImage:
    """One image block, with its graphic control. Places are in pixels of the canvas, which it may reach beyond."""

    x: int
    y: int
    width: int
    height: int
    interlaced: bool
    table: tuple[int, int]  # where its colours lie in the file, and how many there are
    data: tuple[int, int]  # where its compressed pixels lie: first byte (the code size), one past the last
    delay: int = 0  # hundredths of a second, raw
    disposal: int = 0  # 2 clears, 3 restores, all others leave
    transparent: int | None = None  # index of the colour that leaves what is there


@dataclass(frozen=True)
class GifFile:
    """The structure of a GIF."""

    width: int
    height: int
    table: tuple[int, int]  # the global colours: where they lie in the file, and how many there are
    loop: int | None  # raw; None where the file does not say
    images: tuple[GifImage, ...]
    truncated: bool

    @property
    def moves(self) -> bool:
        """Whether it has more than one frame."""
        return len(self.images) > 1


def read_gif(data: Buffer, limits: Limits) -> GifFile:
    """Read the structure of a GIF. Raises UnreadablePicture, or PictureTooLarge before anything costly happens."""
    limits.check_bytes(len(data))
    return _Walker(memoryview(data), limits).walk()


def describe_gif(file: GifFile, size: int, limits: Limits) -> MovingPicture:
    """The description of a GIF of `size` bytes. Raises PictureTooLarge if it lasts too long."""
    delays = tuple(Fraction(play_delay(image.delay), 100) for image in file.images)
    if file.moves:
        limits.check_seconds(sum(delays))
    whole = (0, 0, file.width, file.height)
    first = file.images[0]
    covered = first.transparent is None and (first.x, first.y, first.width, first.height) == whole
    return MovingPicture(
        kind="gif",
        width=file.width,
        height=file.height,
        bytes=size,
        frames=len(file.images),
        seconds=sum(delays, Fraction(0)),
        delays=delays,
        raw_delays=tuple((image.delay, 100) for image in file.images),
        loop=file.loop,
        plays=1 if file.loop is None else 0 if file.loop == 0 else file.loop + 1,
        alpha=not covered or any(image.disposal == 2 for image in file.images[:-1]),
        lossless=True,
        notes=("truncated",) if file.truncated else (),
    )


def play_delay(raw: int) -> int:
    """The hundredths of a second that browsers show a frame for."""
    return raw if raw >= _SHORTEST_PLAYED else _INSTEAD


class _End(Exception):
    """The file ends within a block."""


class _Walker:
    def __init__(self, view: memoryview, limits: Limits) -> None:
        self._view, self._limits = view, limits
        self._at = self._blocks = self._sub_blocks = self._work = 0
        self._loop: int | None = None
        self._control: tuple[int, int, int | None] = (0, 0, None)  # disposal, delay, transparent index
        self._images: list[GifImage] = []

    def walk(self) -> GifFile:
        if bytes(self._view[:6]) not in (b"GIF87a", b"GIF89a"):
            raise UnreadablePicture("This is not a GIF.")
        truncated = False
        self._width = self._height = 0
        self._table = (0, 0)
        try:
            self._at = 6
            self._width, self._height, flags = struct.unpack("<HHBxx", self._take(7))
            self._table = self._skip_table(flags)
            while self._walk_block():
                pass
        except _End:
            truncated = True
        if not self._images:
            raise UnreadablePicture("The GIF is truncated or damaged: it holds no whole frame.")
        return GifFile(self._width, self._height, self._table, self._loop, tuple(self._images), truncated)

    def _walk_block(self) -> bool:
        """Whether there may be another one."""
        self._count_block()
        (introducer,) = self._take(1)
        if introducer == _EXTENSION:
            self._walk_extension()
        elif introducer == _IMAGE:
            self._walk_image()
        elif introducer != _FILLER:
            if introducer != _TRAILER:
                raise _End
            return False
        return True

    def _walk_extension(self) -> None:
        (label,) = self._take(1)
        start = self._at
        self._skip_sub_blocks()
        body = self._view[start : self._at]
        if label == _GRAPHIC_CONTROL and body[0] >= 4:
            flags, delay, index = struct.unpack_from("<BHB", body, 1)
            self._control = (flags >> 2 & 7, delay, index if flags & 1 else None)
        elif label == _APPLICATION and bytes(body[1:12]) in _LOOPING and len(body) >= 16 and body[13] & 7 == 1:
            (self._loop,) = struct.unpack_from("<H", body, 14)

    def _walk_image(self) -> None:
        x, y, width, height, flags = struct.unpack("<HHHHB", self._take(9))
        table = self._skip_table(flags)
        start = self._at
        self._take(1)
        self._skip_sub_blocks()
        disposal, delay, transparent = self._control
        self._control = (0, 0, None)
        if not (width and height):
            return
        if not self._images:
            self._grow_canvas(x + width, y + height)
        self._limits.check_frames(len(self._images) + 1)
        self._limits.check_canvas(width, height)
        self._work += max(width * height, self._width * self._height)
        self._limits.check_work(self._work)
        self._images.append(
            GifImage(
                *(x, y, width, height),
                interlaced=bool(flags & 0x40),
                table=table if table[1] else self._table,
                data=(start, self._at),
                delay=delay,
                disposal=disposal,
                transparent=transparent,
            )
        )

    def _grow_canvas(self, right: int, bottom: int) -> None:
        """Browsers enlarge a canvas that is too small for the first frame."""
        self._width, self._height = max(self._width, right), max(self._height, bottom)
        self._limits.check_canvas(self._width, self._height)

    def _take(self, count: int) -> memoryview:
        end = self._at + count
        if end > len(self._view):
            raise _End
        body, self._at = self._view[self._at : end], end
        return body

    def _skip_table(self, flags: int) -> tuple[int, int]:
        count = 2 << (flags & 7) if flags & 0x80 else 0
        at = self._at
        self._take(3 * count)
        return at, count

    def _skip_sub_blocks(self) -> None:
        view, at, size, left = self._view, self._at, len(self._view), _MAX_SUB_BLOCKS - self._sub_blocks
        while at < size and view[at]:
            at += 1 + view[at]
            left -= 1
            if not left:
                raise _too_many()
        self._sub_blocks = _MAX_SUB_BLOCKS - left
        if at >= size:
            raise _End
        self._at = at + 1

    def _count_block(self) -> None:
        self._blocks += 1
        if self._blocks > _MAX_BLOCKS:
            raise _too_many()


def _too_many() -> PictureTooLarge:
    return PictureTooLarge("The GIF consists of far too many small blocks. Save it again with another program.")
