"""Paste-back: the swapped crop into the picture's own memory, within the face's box."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face import cielab
from functions.swap.face.align import SWAPPER_SIZE, Matrix, bounding_box, invert
from layers.media.picture import Pixels

BAND_PIXELS = 1 << 19  # blended at a time, so that a face of forty megapixels needs little more than its mask

# The soft mask, in pixels of the crop: whole inside, nothing at the rim, where the crop's border would show.
RIM = 2.0
FADE = 13.0
ROUNDNESS = 2.3  # exponent of the superellipse: 2 is an ellipse, more is squarer; a jaw leaves the corners empty

# Colours are compared where faces are bare: an ellipse over nose and cheeks, beneath the eyes and above the mouth.
CHEEKS = (64.0, 72.0, 30.0, 17.0)  # x, y, half width and half height in pixels of the crop
MIN_CHEEKS = 50  # pixels that are within the frame
# Which pixels are skin: those near the cheeks' colour, in CIELAB. Light and shade vary more than hue does.
LIGHTNESS_RANGE, HUE_RANGE = 25.0, 14.0
# Which pixels the swapper changed, in CIELAB units: below the first none, above the second wholly.
UNCHANGED, CHANGED = 1.5, 5.0


def paste(
    pixels: Pixels, crop: Pixels, swapped: Pixels, forward: Matrix, *, color_match: bool, soft_edges: bool
) -> None:
    """Put `swapped` (uint8 BGR [128, 128, 3]) over the face that `crop`, aligned by `forward`, was taken from.

    Changes `pixels` (uint8 BGR [H, W, 3]) in place and only within the crop's box. With both options off the result is
    that of insightface's `INSwapper.get(paste_back=True)` up to rounding.
    """
    height, width = pixels.shape[:2]
    inverse = invert(forward)
    x0, y0, x1, y1 = bounding_box(inverse, SWAPPER_SIZE, width, height)
    if x0 >= x1 or y0 >= y1:
        return
    if color_match:
        swapped = match_color(swapped, crop, inside(forward, width, height))
    local = inverse.copy()
    local[:, 2] -= (x0, y0)
    size = (x1 - x0, y1 - y0)
    mask = cv2.warpAffine(feather_mask(), local, size) if soft_edges else erode_mask(local, size)
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


@cache
def feather_mask() -> Pixels:
    """uint8 [128, 128]: a rounded square that fades towards the crop's rim."""
    half = SWAPPER_SIZE / 2
    across = np.abs((np.arange(SWAPPER_SIZE) + 0.5) / half - 1) * half / (half - RIM)
    radius = (across[None, :] ** ROUNDNESS + across[:, None] ** ROUNDNESS) ** (1 / ROUNDNESS)
    return np.asarray(np.rint(255 * _smooth((1 - radius) * (half - RIM) / FADE)), np.uint8)


def erode_mask(inverse: Matrix, size: tuple[int, int]) -> NDArray[np.uint16]:
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


def inside(forward: Matrix, width: int, height: int) -> NDArray[np.bool_]:
    """bool [128, 128]: which pixels of the crop lie within the frame."""
    inverse = invert(forward)
    grid = np.arange(SWAPPER_SIZE, dtype=np.float64)
    xs = inverse[0, 0] * grid[None, :] + inverse[0, 1] * grid[:, None] + inverse[0, 2]
    ys = inverse[1, 0] * grid[None, :] + inverse[1, 1] * grid[:, None] + inverse[1, 2]
    return np.asarray((xs >= 0) & (ys >= 0) & (xs <= width - 1) & (ys <= height - 1))


def match_color(swapped: Pixels, crop: Pixels, within: NDArray[np.bool_]) -> Pixels:
    """`swapped` with its skin in the colour that the cheeks of `crop` have, both uint8 BGR [128, 128, 3].

    A shift in CIELAB, in full where the swapper changed the picture and the pixel is skin, and not at all elsewhere:
    shifting everything (Reinhard et al., 2001) would put a halo on the background and wash out hair, beards and eyes.
    """
    cheeks = within & find_bare_skin()
    if cheeks.sum() < MIN_CHEEKS:
        return swapped
    ours, theirs = cielab.bgr_to_lab(swapped), cielab.bgr_to_lab(crop)
    our_skin, their_skin = np.median(ours[cheeks], 0), np.median(theirs[cheeks], 0)
    apart = (ours - our_skin) / np.array([LIGHTNESS_RANGE, HUE_RANGE, HUE_RANGE], np.float32)
    skin = np.exp(-np.square(apart).sum(2) / 2)
    change = np.sqrt(np.square(ours - theirs).sum(2))
    share = cv2.GaussianBlur(skin * _smooth((change - UNCHANGED) / (CHANGED - UNCHANGED)), (0, 0), 0.8)
    shifted = ours + share[:, :, None] * (their_skin - our_skin)
    return cielab.lab_to_bgr(shifted)


@cache
def find_bare_skin() -> NDArray[np.bool_]:
    """bool [128, 128]: nose and cheeks."""
    x, y, half_width, half_height = CHEEKS
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    return np.asarray(((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2 <= 1)


def _smooth(share: NDArray[Any]) -> Any:
    """From 0 to 1 without a corner."""
    held = np.clip(share, 0, 1)
    return held * held * (3 - 2 * held)
