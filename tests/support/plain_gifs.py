"""GIFs of few colours, from frames."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import numpy as np

from layers.media.moving.gif_lzw import pack
from layers.media.picture import Pixels


def write_gif(frames: Sequence[Pixels], delay: int = 10, loop: int = 0) -> bytes:
    """A GIF of whole frames, uint8 BGR [H, W, 3], which together have 256 colours at most; `delay` in hundredths."""
    stack = np.stack(frames)
    numbers, indices = np.unique(stack.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32), return_inverse=True)
    assert len(numbers) <= 256
    table = np.zeros((256, 3), np.uint8)
    table[: len(numbers)] = numbers[:, None] >> np.array([16, 8, 0], np.uint32) & 255
    height, width = stack.shape[1:3]
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + table.tobytes()
    head += b"\x21\xff\x0bNETSCAPE2.0\x03\x01" + struct.pack("<H", loop) + b"\0"
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 4, delay, 0, 0)
    place = b"\x2c" + struct.pack("<HHHHB", 0, 0, width, height, 0)
    images = (pack(each) for each in indices.reshape(stack.shape[:3]).astype(np.uint8))
    return head + b"".join(control + place + image for image in images) + b";"
