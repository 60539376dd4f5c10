"""Writes an animated WebP, one frame at a time (RFC 9649): of each frame only the part that changes."""

from __future__ import annotations

import struct
from typing import IO

import numpy as np

from layers.core.errors import PictureTooLarge
from layers.media.formats import MAX_SIDE_PIXELS
from layers.media.metadata import frame_webp_chunk
from layers.media.moving.canvas import Canvas, as_canvas, as_pixels, find_box
from layers.media.picture import Pixels
from layers.media.webp_header import webp_chunks

_ANIMATION, _ALPHA = 0x02, 0x10  # flags of VP8X
_NO_BLEND = 0x02  # flag of ANMF
_LONGEST_MS = (1 << 24) - 1
_HEAD_BYTES = 12


class WebpWriter:
    """Writes the frames of one WebP to a file that can be sought in; `close` ends it."""

    def __init__(
        self,
        out: IO[bytes],
        size: tuple[int, int],
        *,
        loop: int,
        alpha: bool,
        quality: int | None = 75,
    ) -> None:
        """`size`: width and height; `loop`: how often it is played, 0 is for ever; no `quality` loses nothing.

        Raises PictureTooLarge if a side is longer than a WebP's can be.
        """
        if max(size) > MAX_SIDE_PIXELS["webp"]:
            raise PictureTooLarge(
                f"A WebP has at most {MAX_SIDE_PIXELS['webp']} pixels per side. Ask for another format."
            )
        self._out, self._quality = out, quality
        self._canvas: Canvas = np.zeros((size[1], size[0]), np.uint32)
        self._is_first = True
        sides = b"".join((side - 1).to_bytes(3, "little") for side in size)
        extended = struct.pack("<I", _ANIMATION | (_ALPHA if alpha else 0)) + sides
        self._bytes = out.write(bytes(_HEAD_BYTES) + frame_webp_chunk(b"VP8X", extended))
        self._bytes += out.write(frame_webp_chunk(b"ANIM", struct.pack("<IH", 0, min(loop, 0xFFFF))))

    def write(self, pixels: Pixels, delay: int) -> None:
        """Write a frame, uint8 BGR or BGRA [H, W, 3 or 4], shown for that many milliseconds."""
        target = as_canvas(pixels)
        box = find_box(target != self._canvas)
        if self._is_first or box is None:
            rows, columns = (slice(0, side if self._is_first else 1) for side in target.shape)
        else:  # its corner has even coordinates
            rows, columns = (slice(side.start & ~1, side.stop) for side in box)
        place = (columns.start // 2, rows.start // 2, columns.stop - columns.start - 1, rows.stop - rows.start - 1)
        head = b"".join(number.to_bytes(3, "little") for number in (*place, min(delay, _LONGEST_MS))) + bytes(
            [_NO_BLEND]
        )
        frame = _encode(as_pixels(np.ascontiguousarray(target[rows, columns])), self._quality)
        self._bytes += self._out.write(frame_webp_chunk(b"ANMF", head + frame))
        self._canvas, self._is_first = target, False

    def close(self) -> None:
        """Write how long the file is."""
        self._out.seek(0)
        self._out.write(b"RIFF" + struct.pack("<I", self._bytes - 8) + b"WEBP")
        self._out.seek(0, 2)


def _encode(pixels: Pixels, quality: int | None) -> bytes:
    """The chunks of a picture, uint8 BGRA [h, w, 4]."""
    import cv2

    if pixels[:, :, 3].min() == 255:
        pixels = np.ascontiguousarray(pixels[:, :, :3])
    lossless = [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_ON]
    options = lossless if quality is None else [cv2.IMWRITE_WEBP_QUALITY, quality]
    success, encoded = cv2.imencode(".webp", pixels, options)
    if not success:
        raise ValueError(f"OpenCV could not encode {pixels.shape} as WebP")
    parts = [(kind, bytes(body)) for kind, body in webp_chunks(encoded.tobytes())]
    return b"".join(frame_webp_chunk(*part) for part in parts if part[0] in (b"ALPH", b"VP8 ", b"VP8L"))
