"""A strip of frames: what moves, seen at once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from layers.core.deadline import Deadline
from layers.media.moving.description import Limits
from layers.media.moving.reader import MovingReader

COLUMNS = 5
WIDTH = 272  # pixels of a frame
SECONDS = 120.0


def draw_frame_strip(path: Path, every: int = 2, columns: int = COLUMNS, width: int = WIDTH) -> Image.Image:
    """Every second frame of a GIF, WebP, APNG or video, in rows from left to right, as an RGB picture."""
    reader = MovingReader(path, Limits())
    frames = [
        Image.fromarray(np.ascontiguousarray(frame.pixels[:, :, 2::-1]))
        for frame in reader.frames(Deadline.after(SECONDS))
        if frame.number % every == 0
    ]
    height = round(frames[0].height * width / frames[0].width)
    rows = -(-len(frames) // columns)
    strip = Image.new("RGB", (columns * width, rows * height), "#ffffff")
    for number, frame in enumerate(frames):
        row, column = divmod(number, columns)
        strip.paste(frame.resize((width, height), Image.Resampling.LANCZOS), (column * width, row * height))
    return strip
