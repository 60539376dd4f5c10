"""The frames of a moving meme, as faces are looked for in them and as they go back into the file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from functions.swap.picture_loading import MEME, moving_limits, name_picture
from functions.swap.settings import Settings
from functions.swap.values import RequestFormat
from layers.core.errors import InvalidRequest
from layers.core.mistakes import describe_mistake
from layers.media.moving.description import Frame, OutputFormat
from layers.media.moving.kinds import Kind
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import own_format
from layers.media.picture import NEUTRAL, Pixels, flatten


def open_meme(path: Path, settings: Settings) -> MovingReader:
    """Probe a moving meme. Raises UnsupportedPicture, UnreadablePicture or PictureTooLarge, which name the meme."""
    with name_picture(MEME):
        return MovingReader(path, moving_limits(settings))


def name_errors(frames: Iterator[Frame]) -> Iterator[Frame]:
    """The same frames, whose errors name the meme."""
    while True:
        with name_picture(MEME):
            frame = next(frames, None)
        if frame is None:
            return
        yield frame


def choose_format(asked: RequestFormat | None, kind: Kind) -> OutputFormat:
    """The format of the result. Raises InvalidRequest for one that this meme cannot become."""
    own = own_format(kind)
    if asked is None or asked == own or (asked == "png" and own == "apng"):
        return own
    if asked == "mp4" or asked == "webp":
        return asked
    message = f"cannot be {asked}, since this meme moves: leave it out, or use mp4 or webp"
    raise InvalidRequest(f"About format: it {message}.", errors=[describe_mistake(("format",), message)])


def split_frame(pixels: Pixels) -> tuple[Pixels, Pixels | None]:
    """Colours, uint8 BGR [H, W, 3], and alpha, uint8 [H, W], None if all is opaque, of a frame as the reader gives it.

    Whatever is wholly transparent becomes grey. The colours are the frame's own array if it has no alpha.
    """
    if pixels.shape[2] == 3:
        return pixels, None
    alpha = pixels[:, :, 3]
    colors = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), np.uint8)
    if alpha.min() == 255:
        return colors, None
    colors[alpha == 0] = NEUTRAL
    return colors, alpha


def show_frame(pixels: Pixels) -> Pixels:
    """A frame over a neutral ground, uint8 BGR [H, W, 3], for whatever looks at it."""
    colors, alpha = split_frame(pixels)
    if alpha is not None and ((alpha > 0) & (alpha < 255)).any():
        flatten(colors, alpha, NEUTRAL)
    return colors


def join_frame(colors: Pixels, alpha: Pixels | None, original: Pixels) -> Pixels:
    """The frame with other colours, in the shape in which the reader gave the original."""
    if original.shape[2] == 3:
        return colors
    joined = np.dstack((colors, original[:, :, 3] if alpha is None else alpha))
    if alpha is not None:
        joined[alpha == 0] = 0
    return np.asarray(joined, np.uint8)
