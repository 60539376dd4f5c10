"""Aligned crops as pixels, and as the planes that the swapper takes and gives."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from layers.engine.swapper import Floats

Pixels = NDArray[np.uint8]


def to_planes(crops: Pixels) -> Floats:
    """Crops in uint8 BGR [N, H, W, 3] as float32 [N, 3, H, W], RGB, 0 to 1: the swapper's input."""
    return np.ascontiguousarray(crops[..., ::-1].transpose(0, 3, 1, 2), np.float32) / np.float32(255)


def to_pixels(planes: Floats) -> Pixels:
    """The swapper's output [N, 3, H, W] as uint8 BGR [N, H, W, 3]; truncated, not rounded, as in INSwapper.get."""
    levels = np.clip(255 * planes, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(levels.transpose(0, 2, 3, 1)[..., ::-1])
