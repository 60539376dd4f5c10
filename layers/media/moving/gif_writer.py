"""Writes a GIF whose faces were replaced, one frame at a time, with the structure of the meme that it was.

Each frame draws only what differs from what a browser shows by then, and ends as the meme's own frame does. So pixels
that no swap touched are drawn where and with the colours with which the meme draws them.
"""

from __future__ import annotations

import struct
from typing import IO

import numpy as np
from numpy.typing import NDArray

from layers.media.moving.canvas import Box, Canvas, as_canvas, find_box, unite
from layers.media.moving.gif_blocks import Buffer, GifFile, GifImage
from layers.media.moving.gif_frames import GifScreen, clip, read_table
from layers.media.moving.gif_lzw import pack
from layers.media.moving.gif_palette import COLORS, DitherTable, Palette, PaletteChooser
from layers.media.picture import Pixels

_TRAILER = b"\x3b"


class GifWriter:
    """Writes the frames of one GIF to a file, in their order; `close` ends it."""

    def __init__(self, out: IO[bytes], data: Buffer, file: GifFile) -> None:
        """`data` and `file`: the meme's own bytes and structure."""
        self._out, self._data, self._file = out, data, file
        self._screen = GifScreen(file.width, file.height)
        self._chooser = PaletteChooser()
        self._dither = DitherTable()
        self._global = _as_bytes(_pad(_own_colors(data, file.table)))
        self._number = 0
        self.is_exact = True
        """Whether every pixel that no swap touched has its colour; not so where a frame's 256 colours were too few."""
        out.write(_write_head(file, self._global))

    def write(self, original: Pixels, changed: Pixels) -> None:
        """Write the next frame: what the reader gave, and what it is to be, both uint8 BGRA [H, W, 4].

        Where they are equal, no swap touched the picture. Transparency is the original's.
        """
        image = self._file.images[self._number]
        self._number += 1
        before, target = as_canvas(original), as_canvas(changed)
        visible = before != 0
        target = np.where(visible, target | np.uint32(0xFF000000), 0)
        self._screen.begin(image)
        differs = (target != self._screen.canvas) & visible
        box = find_box(differs)
        if image.disposal == 2:
            box = unite(box, clip(image, self._file.width, self._file.height))
        if box is None:
            box = slice(0, 1), slice(0, 1)
        self._write_image(image, box, before[box], target[box], differs[box])
        np.copyto(self._screen.canvas, target, where=differs)
        self._screen.dispose(image.disposal, box)

    def close(self) -> None:
        """Write the end mark."""
        self._out.write(_TRAILER)

    def _write_image(
        self, image: GifImage, box: Box, before: Canvas, target: Canvas, differs: NDArray[np.bool_]
    ) -> None:
        untouched, faces = differs & (before == target), differs & (before != target)
        own = _own_colors(self._data, image.table)
        transparency = not differs.all()
        palette = self._chooser.choose(
            own, image.transparent, target[untouched], target[faces], transparency=transparency
        )
        self.is_exact &= palette.is_exact
        indices = np.full(target.shape, palette.transparent or 0, np.uint8)
        indices[untouched] = self._chooser.map_exactly(palette, target[untouched])
        rows, columns = np.nonzero(faces)
        if len(rows):
            places = rows + box[0].start, columns + box[1].start
            indices[faces] = self._dither.map(palette, target[faces], *places)
        self._write_blocks(image, box, palette, indices)

    def _write_blocks(self, image: GifImage, box: Box, palette: Palette, indices: Pixels) -> None:
        flags = image.disposal << 2 | (palette.transparent is not None)
        control = struct.pack("<BHBB", flags, image.delay, palette.transparent or 0, 0)
        table = _as_bytes(_pad(palette.colors))
        is_global = table == self._global
        size_bits = (len(table) // 3).bit_length() - 2
        height, width = indices.shape
        descriptor = struct.pack(
            "<HHHHB", box[1].start, box[0].start, width, height, 0 if is_global else 0x80 | size_bits
        )
        parts = (b"\x21\xf9\x04", control, b"\x2c", descriptor, b"" if is_global else table, pack(indices))
        self._out.write(b"".join(parts))


def _write_head(file: GifFile, table: bytes) -> bytes:
    """Everything before the first frame: size, global colours and the loop count as the meme says it."""
    flags = 0x70 | (0x80 | (len(table) // 3).bit_length() - 2 if table else 0)
    head = b"GIF89a" + struct.pack("<HHBBB", file.width, file.height, flags, 0, 0) + table
    if file.loop is not None:
        head += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", file.loop) + b"\0"
    return head


def _own_colors(data: Buffer, table: tuple[int, int]) -> Canvas:
    return read_table(data, table)[: table[1]]


def _pad(colors: Canvas) -> Canvas:
    """As many colours as a table can have: a power of two, at least two; nothing stays nothing."""
    size = next(power for power in (0, 2, 4, 8, 16, 32, 64, 128, COLORS) if power >= len(colors))
    return np.concatenate((colors, np.zeros(size - len(colors), np.uint32)))


def _as_bytes(colors: Canvas) -> bytes:
    """Red, green and blue of each colour."""
    return colors.astype("<u4").view(np.uint8).reshape(-1, 4)[:, 2::-1].tobytes()
