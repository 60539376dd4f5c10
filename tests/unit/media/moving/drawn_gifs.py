"""Tricky GIFs from descriptions, and what a browser shows of them, worked out pixel by pixel."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from typing import Any

Color = tuple[int, int, int]  # red, green, blue
Seen = tuple[int, int, int, int]  # with alpha

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
COLORS: tuple[Color, ...] = (RED, GREEN, BLUE, WHITE)
OTHERS: tuple[Color, ...] = ((9, 9, 9), (90, 80, 70), (1, 200, 3), (250, 2, 251))
NOTHING: Seen = (0, 0, 0, 0)


@dataclass(frozen=True)
class Drawn:
    """One image: its place, and its indices row by row."""

    rows: tuple[tuple[int, ...], ...]
    x: int = 0
    y: int = 0
    delay: int = 10
    disposal: int = 1
    transparent: int | None = None
    table: tuple[Color, ...] | None = None
    interlaced: bool = False
    control: bool = True  # whether there is a graphic control; without it: no delay, no transparency, disposal 0
    pixels: int | None = None  # how many there are in the file, in its order, if not as many as the rows have


@dataclass(frozen=True)
class DrawnGif:
    """A whole file."""

    images: tuple[Drawn, ...]
    width: int = 8
    height: int = 6
    table: tuple[Color, ...] | None = COLORS
    loop: int | None = 0
    background: int = 0
    version: bytes = b"89a"
    canvas: tuple[int, int] = (0, 0)  # as browsers take it, where that is not as the file says

    def write(self) -> bytes:
        """The file."""
        table = _table(self.table)
        head = b"GIF" + self.version + struct.pack("<HH", self.width, self.height)
        head += bytes([_flags(self.table) | 0x70, self.background, 0]) + table
        return head + loop_block(self.loop) + b"".join(write_image(image) for image in self.images) + b";"

    def show(self) -> list[list[list[Seen]]]:
        """What a browser shows: frames of rows of pixels."""
        width, height = self.canvas if any(self.canvas) else (self.width, self.height)
        screen = [[NOTHING] * width for _ in range(height)]
        frames = []
        for image in self.images:
            image = image if image.control else replace(image, disposal=0, transparent=None)
            before = [row[:] for row in screen]
            order = _order_rows(len(image.rows), image.interlaced)
            places = [(image.y + i, image.x + j) for i in order for j in range(len(image.rows[i]))]
            inside = [(y, x) for y, x in places if y < height and x < width]
            for y, x in [place for place in places[: image.pixels] if place in inside]:
                index = image.rows[y - image.y][x - image.x]
                if index != image.transparent:
                    screen[y][x] = (*(image.table or self.table or ())[index], 255)
            frames.append([row[:] for row in screen])
            if image.disposal == 2:
                for y, x in inside:
                    screen[y][x] = NOTHING
            elif image.disposal == 3:
                screen = before
        return frames


def block(*rows: str, **how: Any) -> Drawn:
    """An image of those rows, where a digit or small letter is an index, in base 36."""
    return Drawn(tuple(tuple(int(letter, 36) for letter in row) for row in rows), **how)


def fill(index: str, width: int, height: int, **how: Any) -> Drawn:
    """An image of one colour."""
    return block(*[index * width] * height, **how)


def loop_block(loop: int | None) -> bytes:
    return b"" if loop is None else b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"


def write_image(image: Drawn) -> bytes:
    """The blocks of an image."""
    control = b""
    if image.control:
        flags = image.disposal << 2 | (image.transparent is not None)
        control = b"\x21\xf9\x04" + struct.pack("<BHBB", flags, image.delay, image.transparent or 0, 0)
    rows = image.rows
    flags = (_flags(image.table) if image.table else 0) | (0x40 if image.interlaced else 0)
    descriptor = b"\x2c" + struct.pack("<HHHHB", image.x, image.y, len(rows[0]), len(rows), flags)
    indices = [index for row in _order_rows(len(rows), image.interlaced) for index in rows[row]]
    if image.pixels is not None:
        indices = (indices + [1] * image.pixels)[: image.pixels]
    return control + descriptor + (_table(image.table) if image.table else b"") + _pack(indices)


def _order_rows(count: int, interlaced: bool) -> list[int]:
    passes = ((0, 8), (4, 8), (2, 4), (1, 2)) if interlaced else ((0, 1),)
    return [row for start, step in passes for row in range(start, count, step)]


def _pack(indices: list[int]) -> bytes:
    """LZW that never compresses: a clear code before every hundred pixels keeps all codes at nine bits."""
    codes: list[int] = []
    for number, index in enumerate(indices):
        codes += [256, index] if number % 100 == 0 else [index]
    bits = 0
    for number, code in enumerate([*codes, 257]):
        bits |= code << 9 * number
    data = bits.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")
    blocks = [data[at : at + 255] for at in range(0, len(data), 255)]
    return b"\x08" + b"".join(bytes([len(each)]) + each for each in blocks) + b"\0"


def _bits(table: tuple[Color, ...]) -> int:
    return max(1, (len(table) - 1).bit_length())


def _flags(table: tuple[Color, ...] | None) -> int:
    return 0x80 | _bits(table) - 1 if table else 0


def _table(table: tuple[Color, ...] | None) -> bytes:
    if not table:
        return b""
    return b"".join(bytes(color) for color in table).ljust(3 << _bits(table), b"\0")


_WALL = fill("0", 8, 6)
_SPRITE = block("12", "21", x=2, y=1)
_HOLE = block("1x1", "xxx", "1x1", x=3, y=2, transparent=33)  # x is index 33, which no table has


def _then(*images: Drawn, **how: Any) -> DrawnGif:
    return DrawnGif(images, **how)


TRAPS: dict[str, DrawnGif] = {
    "a first frame that covers a part": _then(_SPRITE, fill("3", 2, 2)),
    "transparent pixels leave what is there": _then(_WALL, _HOLE, block("3", x=7, y=5)),
    "disposal 0 leaves": _then(_WALL, replace(_SPRITE, disposal=0), block("3", x=7, y=5)),
    "disposal 2 clears, to nothing": _then(_WALL, replace(_SPRITE, disposal=2), block("3"), background=3),
    "disposal 2 on the first frame": _then(replace(_WALL, disposal=2), _SPRITE, replace(_WALL, disposal=2), _SPRITE),
    "disposal 0 after disposal 2": _then(
        replace(_WALL, disposal=2), replace(_SPRITE, disposal=0), replace(_HOLE, disposal=2), block("3")
    ),
    "disposal 3 restores": _then(_WALL, replace(_SPRITE, disposal=3), block("3"), replace(_HOLE, disposal=3), _SPRITE),
    "disposal 3 on the first frame": _then(replace(_WALL, disposal=3), _SPRITE, block("3")),
    "disposal 3 twice": _then(_WALL, replace(_SPRITE, disposal=3), replace(_HOLE, disposal=3), block("3")),
    "disposal 3 after disposal 2": _then(
        _WALL, replace(_SPRITE, disposal=2), replace(fill("3", 3, 3), disposal=3), block("2", x=7)
    ),
    "disposals that do not exist leave": _then(_WALL, replace(_SPRITE, disposal=5), replace(_HOLE, disposal=7), _HOLE),
    "rectangles beyond the canvas": _then(
        _WALL, fill("1", 5, 5, x=6, y=4), replace(fill("2", 9, 9, x=7, y=1), disposal=2), block("3")
    ),
    "a rectangle outside the canvas": _then(_WALL, fill("1", 2, 2, x=20, y=30, disposal=2), block("3")),
    "a first frame larger than the canvas": _then(fill("1", 10, 9), _SPRITE, canvas=(10, 9)),
    "a canvas of no size": _then(fill("1", 5, 4), _SPRITE, width=0, height=0, canvas=(5, 4)),
    "no graphic control": _then(replace(_WALL, control=False), replace(_SPRITE, control=False), _HOLE),
    "a graphic control counts once": _then(
        _WALL, replace(_SPRITE, transparent=1), replace(_SPRITE, x=5, control=False)
    ),
    "no global colours": _then(replace(_WALL, table=OTHERS), replace(_SPRITE, table=COLORS), table=None),
    "colours of its own": _then(_WALL, replace(_SPRITE, table=OTHERS), replace(_HOLE, table=OTHERS[:2])),
    "interlaced": _then(
        block(*[str(row % 4) * 8 for row in range(6)], interlaced=True), replace(_SPRITE, interlaced=True)
    ),
    "interlaced, tall": _then(
        block(*[f"{row % 4}{row // 4 % 4}" for row in range(37)], interlaced=True), width=2, height=37
    ),
    "transparency in some frames only": _then(_HOLE, _WALL, replace(_HOLE, disposal=2), _WALL),
    "a background colour that nobody shows": _then(
        _SPRITE, replace(_SPRITE, x=5, disposal=2), block("3"), background=2
    ),
    "a transparent colour beyond the table": _then(_WALL, replace(_SPRITE, transparent=200)),
    "the same picture again": _then(_WALL, _WALL, _SPRITE, _SPRITE),
    "a frame of nothing but transparency": _then(_WALL, fill("1", 8, 6, transparent=1), _SPRITE),
    "colours from two tables in one picture": _then(
        replace(_WALL, table=OTHERS), replace(_SPRITE, disposal=3), replace(_SPRITE, x=4, disposal=2), block("3")
    ),
    "too few pixels": _then(_WALL, replace(fill("2", 8, 6), pixels=19), fill("1", 1, 1)),
    "too few pixels, interlaced": _then(_WALL, replace(fill("2", 8, 6), pixels=19, interlaced=True), fill("1", 1, 1)),
    "too many pixels": _then(_WALL, replace(fill("2", 8, 6), pixels=99), fill("1", 1, 1)),
    "an old version": _then(replace(_WALL, control=False), version=b"87a", loop=None),
}
