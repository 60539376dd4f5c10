"""Grain: the noise of a picture, measured around a face and continued into what is put there.

A swapper removes the grain of what it changes. A face without it looks ironed in a picture that has some.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from functions.swap.values import Floats
from layers.media.picture import Pixels

BLOCK = 8  # pixels, the side of the blocks in which grain is measured
MAX_BLOCKS = 16  # in a row or a column, spread evenly
MIN_BLOCKS = 12
CLIPPED = (4, 251)  # mean levels beyond which black and white hide the grain
FLAT_SHARE = 0.2  # of the blocks: the flattest of them have grain and nothing else
FLAT_RATIO = 1.8  # blocks with up to so many times the variance of the last of these are flat too
MIN_GRAIN = 1.0  # levels: less is rounding, or a trace of JPEG; nobody sees it
MAX_GRAIN = 16.0  # levels: more is texture
MAX_CORRELATION = 0.65  # of neighbouring pixels: three taps cannot make more
MAX_DIRECTION = 0.3  # by which correlations down and across may differ: weaves and stripes have a direction
TILE = 256  # pixels, the period of the grain that is made


class Grain(NamedTuple):
    """The grain of a picture: what `make_tile` needs to make more of it."""

    mixture: Floats  # float32 [3, 3], of independent noise to BGR levels: the root of its covariance
    correlation: float  # of neighbouring pixels
    grey: bool  # whether the three channels are equal


def measure_grain(pixels: Pixels) -> Grain | None:
    """The grain in the flattest parts of a picture, uint8 BGR [H, W, 3]; None where there is none worth the name."""
    blocks = _sample_blocks(pixels)
    means = blocks.mean((1, 2, 3))
    blocks = blocks[(means > CLIPPED[0]) & (means < CLIPPED[1])]
    if len(blocks) < MIN_BLOCKS:
        return None
    rest = _remove_planes(blocks)
    variance = np.square(rest).mean((1, 2, 3))
    flat = rest[variance <= FLAT_RATIO * np.quantile(variance, FLAT_SHARE)]
    freedom = BLOCK * BLOCK - 3
    levels = flat.reshape(-1, 3)
    covariance = levels.T @ levels / (len(flat) * freedom)
    strength = float(np.sqrt(np.trace(covariance) / 3))
    if not MIN_GRAIN <= strength <= MAX_GRAIN:
        return None
    tone = flat.mean(3)
    down, across = (tone[:, 1:] * tone[:, :-1]).mean(), (tone[:, :, 1:] * tone[:, :, :-1]).mean()
    correlation = float((down + across) / (2 * np.square(tone).mean()))
    if abs(down - across) > MAX_DIRECTION * np.square(tone).mean():
        return None
    values, vectors = np.linalg.eigh(covariance)
    mixture = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    grey = bool((blocks == blocks[:, :, :, :1]).all())
    return Grain(mixture.astype(np.float32), min(max(correlation, 0.0), MAX_CORRELATION), grey)


def _sample_blocks(pixels: Pixels) -> Floats:
    """Square blocks of a picture, float32 [N, 8, 8, 3], evenly spread."""
    height, width = pixels.shape[:2]
    if min(height, width) < BLOCK:
        return np.empty((0, BLOCK, BLOCK, 3), np.float32)
    tops, lefts = (
        np.unique(np.linspace(0, side - BLOCK, min(side // BLOCK, MAX_BLOCKS)).astype(np.intp))
        for side in (height, width)
    )
    within = np.arange(BLOCK)
    rows, columns = (starts[:, None] + within for starts in (tops, lefts))
    blocks = pixels[rows[:, None, :, None], columns[None, :, None, :]]
    return np.asarray(blocks.reshape(-1, BLOCK, BLOCK, 3), np.float32)


def _remove_planes(blocks: Floats) -> Floats:
    """What is left of each channel of blocks, float32 [N, 8, 8, 3], without the plane that is nearest to it."""
    ramp = np.arange(BLOCK, dtype=np.float32) - (BLOCK - 1) / 2
    planes = np.stack([np.ones((BLOCK, BLOCK)), *np.meshgrid(ramp, ramp)]).reshape(3, -1)
    planes = (planes / np.linalg.norm(planes, axis=1, keepdims=True)).astype(np.float32)
    flat = blocks.reshape(len(blocks), -1, 3)
    return np.asarray(flat - planes.T @ (planes @ flat), np.float32).reshape(blocks.shape)


def make_tile(grain: Grain) -> Floats:
    """A tile of grain, float32 BGR [256, 256, 3] in levels, whose edges meet; always the same for the same grain."""
    noise, rho = _unit_noise(), grain.correlation
    tap = (1 - np.sqrt(1 - 2 * rho * rho)) / (2 * rho) if rho > 0.01 else 0.0
    for axis in (0, 1):
        noise = (noise + tap * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))) / np.sqrt(1 + 2 * tap * tap)
    tile = np.asarray(noise @ grain.mixture.T, np.float32)
    return np.repeat(tile[:, :, 1:2], 3, 2) if grain.grey else tile


@cache
def _unit_noise() -> NDArray[np.float32]:
    return np.random.default_rng(0).standard_normal((TILE, TILE, 3), np.float32)


def cut_tile(tile: Floats, x: int, y: int, width: int, height: int) -> Floats:
    """The grain of the part of a picture whose first pixel is at x, y: every place has its own, float32 [H, W, 3]."""
    rows, columns = (np.arange(start, start + length) % TILE for start, length in ((y, height), (x, width)))
    return tile[rows[:, None], columns]
