"""Keypoints, faces and pictures for tests of what handles pixels."""

from __future__ import annotations

import cv2
import numpy as np

from functions.swap.face import align
from functions.swap.values import Face, Floats
from layers.media.picture import Pixels


def keypoints_at(x: float, y: float, scale: float, angle: float, noise: int = 0) -> Floats:
    """The template's keypoints around x, y, with `scale` picture pixels for a pixel of the template."""
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (align.TEMPLATE - 56) @ turn.T + (x, y)
    return (points + np.random.default_rng(noise).normal(0, 0.03 * scale * 35, (5, 2))).astype(np.float32)


def face_with(keypoints: Floats) -> Face:
    """A face whose box surrounds these keypoints."""
    low, high = keypoints.min(0) - 10, keypoints.max(0) + 10
    return Face(0, (float(low[0]), float(low[1]), float(high[0]), float(high[1])), keypoints, 0.9)


def grainy_picture(width: int, height: int, seed: int = 3) -> Pixels:
    """Soft colours with some grain, like a photograph, uint8 BGR."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (height // 16 + 2, width // 16 + 2, 3)).astype(np.uint8)
    grain = rng.integers(-6, 7, (height, width, 3))
    return np.clip(cv2.resize(small, (width, height)).astype(int) + grain, 0, 255).astype(np.uint8)
