"""Paste-back: the swapped crop into the picture's own memory, within the face's box."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.align import SWAPPER_SIZE, Matrix, box_of, inverted
from functions.swap.values import Floats
from layers.media.picture import Pixels

BAND_PIXELS = 1 << 19  # blended at a time, so that a face of forty megapixels needs little more than its mask

# The soft mask, in pixels of the crop: whole inside, nothing at the rim, where the crop's border would show.
RIM = 5.0
FADE = 22.0
ROUNDNESS = 3.0  # exponent of the superellipse: 2 is an ellipse, more is squarer

# How far the spread of a colour may be stretched: more would turn noise or make-up into blotches.
SPREAD = (0.75, 1.35)


def paste(
    pixels: Pixels, crop: Pixels, swapped: Pixels, forward: Matrix, *, color_match: bool, soft_edges: bool
) -> None:
    """Put `swapped` (uint8 BGR [128, 128, 3]) over the face that `crop`, aligned by `forward`, was taken from.

    Changes `pixels` (uint8 BGR [H, W, 3]) in place and only within the crop's box. With both options off the result is
    that of insightface's `INSwapper.get(paste_back=True)` up to rounding.
    """
    height, width = pixels.shape[:2]
    inverse = inverted(forward)
    x0, y0, x1, y1 = box_of(inverse, SWAPPER_SIZE, width, height)
    if x0 >= x1 or y0 >= y1:
        return
    if color_match:
        swapped = matched(swapped, crop, seen(forward, width, height))
    local = inverse.copy()
    local[:, 2] -= (x0, y0)
    size = (x1 - x0, y1 - y0)
    mask = cv2.warpAffine(soft_mask(), local, size) if soft_edges else eroded_mask(local, size)
    rows = max(BAND_PIXELS // size[0], 1)
    for top in range(0, size[1], rows):
        over = mask[top : top + rows]
        under = pixels[y0 + top : y0 + top + len(over), x0:x1]
        moved = local.copy()
        moved[1, 2] -= top
        new = cv2.warpAffine(swapped, moved, (size[0], len(over)), borderValue=0.0)
        share = over.astype(np.float32)
        share /= 255 if soft_edges else 65535
        cv2.blendLinear(new, under, share, 1 - share, dst=under)


def soft_mask() -> Pixels:
    """uint8 [128, 128]: a rounded square that fades towards the crop's rim."""
    half = SWAPPER_SIZE / 2
    across = np.abs((np.arange(SWAPPER_SIZE) + 0.5) / half - 1) * half / (half - RIM)
    radius = (across[None, :] ** ROUNDNESS + across[:, None] ** ROUNDNESS) ** (1 / ROUNDNESS)
    depth = np.clip((1 - radius) * (half - RIM) / FADE, 0, 1)
    return np.asarray(np.rint(255 * depth * depth * (3 - 2 * depth)), np.uint8)


def eroded_mask(inverse: Matrix, size: tuple[int, int]) -> NDArray[np.uint16]:
    """uint16 [H, W] of a box of `size` (width, height): insightface's mask, the crop's square eroded and blurred."""
    whole = np.iinfo(np.uint16).max
    white = np.full((SWAPPER_SIZE, SWAPPER_SIZE), whole, np.uint16)
    warped = cv2.warpAffine(white, inverse, size, borderValue=0.0)
    mask = np.where(warped > whole * 20 // 255, np.uint16(whole), warped.astype(np.uint16, copy=False))
    rows, columns = (np.flatnonzero((mask == whole).any(axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros_like(mask)
    side = int(np.sqrt((rows[-1] - rows[0]) * (columns[-1] - columns[0])))
    erosion = max(side // 10, 10)
    eroded = cv2.erode(mask, np.ones((erosion, erosion), np.uint8), iterations=1)
    blur = 2 * max(side // 20, 5) + 1
    return np.asarray(cv2.GaussianBlur(eroded, (blur, blur), 0), np.uint16)


def seen(forward: Matrix, width: int, height: int) -> Floats:
    """float32 [128, 128]: how much each pixel of the crop says about the face's colours; 0 outside the frame."""
    inverse = inverted(forward)
    grid = np.arange(SWAPPER_SIZE, dtype=np.float64)
    xs = inverse[0, 0] * grid[None, :] + inverse[0, 1] * grid[:, None] + inverse[0, 2]
    ys = inverse[1, 0] * grid[None, :] + inverse[1, 1] * grid[:, None] + inverse[1, 2]
    inside = (xs >= 0) & (ys >= 0) & (xs <= width - 1) & (ys <= height - 1)
    return np.asarray(soft_mask() * inside, np.float32)


def matched(swapped: Pixels, crop: Pixels, weights: Floats) -> Pixels:
    """`swapped` with the mean and the spread that `crop` has in each channel of CIELAB (Reinhard et al., 2001)."""
    total = float(weights.sum())
    if total == 0:
        return swapped
    ours, theirs = _lab(swapped), _lab(crop)
    for channel in range(3):
        plane = ours[:, :, channel]
        mean, spread = _moments(plane, weights, total)
        wanted, wanted_spread = _moments(theirs[:, :, channel], weights, total)
        stretch = np.clip(wanted_spread / max(spread, 1e-3), *SPREAD)
        ours[:, :, channel] = (plane - mean) * stretch + wanted
    back = cv2.cvtColor(ours, cv2.COLOR_LAB2BGR)
    return np.asarray(np.clip(np.rint(255 * back), 0, 255), np.uint8)


def _lab(pixels: Pixels) -> Floats:
    return np.asarray(cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_BGR2LAB), np.float32)


def _moments(plane: Floats, weights: Floats, total: float) -> tuple[float, float]:
    mean = float((plane * weights).sum()) / total
    return mean, float(np.sqrt((np.square(plane - mean) * weights).sum() / total))
