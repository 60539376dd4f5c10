"""Animations of one frame: still pictures in the form of moving ones."""

from __future__ import annotations

import hashlib

import numpy as np

from layers.core.errors import UnreadablePicture
from layers.media.header import FileTraits
from layers.media.moving.description import Limits, MovingPicture
from layers.media.moving.kinds import ANIMATIONS
from layers.media.moving.reader import probe_moving, read_animation
from layers.media.moving.video_probe import VideoFile
from layers.media.picture import NEUTRAL, Picture


def describe(data: bytes, limits: Limits) -> MovingPicture:
    """What a moving picture says of itself. Raises UnreadablePicture or PictureTooLarge."""
    return probe_moving(memoryview(data), limits)[1]


def decode_one_frame(data: bytes, limits: Limits) -> Picture:
    """Decode an animation of one frame, as `describe` tells it. A GIF counts as a PNG, and an APNG as one.

    Colours beneath an alpha of 0 become grey. Raises UnreadablePicture or PictureTooLarge.
    """
    view = memoryview(data)
    structure, description = probe_moving(view, limits)
    assert description.kind in ANIMATIONS
    assert not isinstance(structure, VideoFile)
    frame = next(read_animation(view, structure), None)
    if frame is None:
        raise UnreadablePicture("The picture is damaged. Send it again, or save it again first.")
    pixels, alpha = np.ascontiguousarray(frame.pixels[:, :, :3]), frame.pixels[:, :, 3].copy()
    pixels[alpha == 0] = NEUTRAL
    return Picture(
        pixels=pixels,
        alpha=None if alpha.min() == 255 else alpha,
        digest=hashlib.sha256(data).hexdigest(),
        format="webp" if description.kind == "webp" else "png",
        traits=FileTraits(lossless=description.lossless),
    )
