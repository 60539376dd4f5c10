"""Writes an APNG, one frame at a time (PNG, third edition): of each frame only the part that changes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import IO

import numpy as np

from layers.media.formats import PNG_SIGNATURE
from layers.media.moving.canvas import Canvas, as_canvas, as_pixels, find_box
from layers.media.picture import Pixels
from layers.media.png_header import frame_png_chunk

_RGB, _RGBA = 2, 6  # colour types
_COMPRESSION = 4
_CONTROL_AT = len(PNG_SIGNATURE) + 25  # where the number of frames is written, behind the header


class ApngWriter:
    """Writes the frames of one APNG to a file that can be sought in; `close` ends it."""

    def __init__(self, out: IO[bytes], size: tuple[int, int], *, loop: int, alpha: bool) -> None:
        """`size`: width and height; `loop`: how often it is played, 0 is for ever; without `alpha` all is opaque."""
        self._out, self._loop, self._alpha = out, loop, alpha
        self._canvas: Canvas = np.zeros((size[1], size[0]), np.uint32)
        self._frames = self._sequence = 0
        header = struct.pack(">IIBBBBB", *size, 8, _RGBA if alpha else _RGB, 0, 0, 0)
        out.write(PNG_SIGNATURE + frame_png_chunk(b"IHDR", header) + self._count())

    def write(self, pixels: Pixels, delay: tuple[int, int]) -> None:
        """Write a frame, uint8 BGR or BGRA [H, W, 3 or 4], shown for that fraction of a second."""
        target = as_canvas(pixels)
        box = find_box(target != self._canvas)
        if not self._frames:
            rows, columns = (slice(0, side) for side in target.shape)
        else:
            rows, columns = box or (slice(0, 1), slice(0, 1))
        place = columns.stop - columns.start, rows.stop - rows.start, columns.start, rows.start
        self._write_numbered(b"fcTL", struct.pack(">IIIIHHBB", *place, *delay, 0, 0))
        for piece in self._encode(as_pixels(np.ascontiguousarray(target[rows, columns]))):
            if self._frames:
                self._write_numbered(b"fdAT", piece)
            else:
                self._out.write(frame_png_chunk(b"IDAT", piece))
        self._canvas = target
        self._frames += 1

    def close(self) -> None:
        """Write the end mark, and how many frames there are."""
        self._out.write(frame_png_chunk(b"IEND", b""))
        self._out.seek(_CONTROL_AT)
        self._out.write(self._count())
        self._out.seek(0, 2)

    def _count(self) -> bytes:
        return frame_png_chunk(b"acTL", struct.pack(">II", self._frames, self._loop))

    def _write_numbered(self, kind: bytes, body: bytes) -> None:
        self._out.write(frame_png_chunk(kind, struct.pack(">I", self._sequence) + body))
        self._sequence += 1

    def _encode(self, pixels: Pixels) -> Iterator[bytes]:
        """Yield the compressed pixels of a picture, uint8 BGRA [h, w, 4], in pieces."""
        import cv2

        if not self._alpha:
            pixels = np.ascontiguousarray(pixels[:, :, :3])
        success, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, _COMPRESSION])
        if not success:
            raise ValueError(f"OpenCV could not encode {pixels.shape} as PNG")
        view, at = memoryview(encoded.tobytes()), len(PNG_SIGNATURE)
        while at < len(view):
            (length,) = struct.unpack_from(">I", view, at)
            if bytes(view[at + 4 : at + 8]) == b"IDAT":
                yield bytes(view[at + 8 : at + 8 + length])
            at += 12 + length
