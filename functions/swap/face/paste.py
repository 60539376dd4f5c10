"""Paste-back: blending the swapped crop into the picture's own memory, within the face's box."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face import cielab
from functions.swap.face.align import SWAPPER_SIZE, Matrix, bounding_box, invert
from layers.media.picture import Pixels

BAND_PIXELS = 1 << 19  # blended at a time, so that a face of forty megapixels needs little more memory than its mask

# The feather mask, in pixels of the crop: opaque inside, transparent at the rim, where the crop's border would show.
FEATHER_MARGIN = 2.0  # transparent, at each side
FEATHER_WIDTH = 13.0  # from transparent to opaque
FEATHER_EXPONENT = 2.3  # of the superellipse: 2 is an ellipse, more is squarer; a jaw leaves the corners empty

# Colours are compared on bare skin: an ellipse over nose and cheeks, beneath the eyes and above the mouth.
CHEEKS = (64.0, 72.0, 30.0, 17.0)  # x, y, half width and half height in pixels of the crop
MIN_CHEEK_PIXELS = 50  # of them within the frame
# How far skin may be from the cheeks' colour, in CIELAB. Lightness varies more than hue.
LIGHTNESS_RANGE, HUE_RANGE = 25.0, 14.0
# How much the swapper changed a pixel, as a distance in CIELAB: not at all up to the first, fully from the second.
UNCHANGED, CHANGED = 1.5, 5.0


def paste(
    pixels: Pixels, crop: Pixels, swapped: Pixels, forward: Matrix, *, color_match: bool, soft_edges: bool
) -> None:
    """Put `swapped` (uint8 BGR [128, 128, 3]) over the face that `crop` shows; `forward` maps the picture to the crop.

    Changes `pixels` (uint8 BGR [H, W, 3]) in place and only within the crop's box. With both options off the result is
    that of insightface's `INSwapper.get(paste_back=True)` up to rounding.
    """
    height, width = pixels.shape[:2]
    inverse = invert(forward)
    x0, y0, x1, y1 = bounding_box(inverse, SWAPPER_SIZE, width, height)
    if x0 >= x1 or y0 >= y1:
        return
    if color_match:
        swapped = match_color(swapped, crop, frame_mask(forward, width, height))
    local = inverse.copy()
    local[:, 2] -= (x0, y0)
    size = (x1 - x0, y1 - y0)
    mask = cv2.warpAffine(feather_mask(), local, size) if soft_edges else erode_mask(local, size)
    rows = max(BAND_PIXELS // size[0], 1)
    for top in range(0, size[1], rows):
        band_mask = mask[top : top + rows]
        band = pixels[y0 + top : y0 + top + len(band_mask), x0:x1]
        band_transform = local.copy()
        band_transform[1, 2] -= top
        face = cv2.warpAffine(swapped, band_transform, (size[0], len(band_mask)), borderValue=0.0)
        opacity = band_mask.astype(np.float32)
        opacity /= 255 if soft_edges else 65535
        cv2.blendLinear(face, band, opacity, 1 - opacity, dst=band)


@cache
def feather_mask() -> Pixels:
    """The soft-edged mask, uint8 [128, 128]: a rounded square that fades towards the crop's rim."""
    half = SWAPPER_SIZE / 2
    across = np.abs((np.arange(SWAPPER_SIZE) + 0.5) / half - 1) * half / (half - FEATHER_MARGIN)
    powers = across[None, :] ** FEATHER_EXPONENT + across[:, None] ** FEATHER_EXPONENT
    depth = (1 - powers ** (1 / FEATHER_EXPONENT)) * (half - FEATHER_MARGIN)
    return np.asarray(np.rint(255 * _smoothstep(depth / FEATHER_WIDTH)), np.uint8)


def erode_mask(inverse: Matrix, size: tuple[int, int]) -> NDArray[np.uint16]:
    """insightface's mask: the crop's square eroded and blurred, uint16 [H, W], for a box of `size` (width, height)."""
    opaque = np.iinfo(np.uint16).max
    white = np.full((SWAPPER_SIZE, SWAPPER_SIZE), opaque, np.uint16)
    warped = cv2.warpAffine(white, inverse, size, borderValue=0.0)
    mask = np.where(warped > opaque * 20 // 255, np.uint16(opaque), warped.astype(np.uint16, copy=False))
    rows, columns = (np.flatnonzero((mask == opaque).any(axis)) for axis in (1, 0))
    if not rows.size:
        return np.zeros_like(mask)
    side = int(np.sqrt((rows[-1] - rows[0]) * (columns[-1] - columns[0])))
    erosion = max(side // 10, 10)
    eroded = cv2.erode(mask, np.ones((erosion, erosion), np.uint8), iterations=1)
    blur = 2 * max(side // 20, 5) + 1
    return np.asarray(cv2.GaussianBlur(eroded, (blur, blur), 0), np.uint16)


def frame_mask(forward: Matrix, width: int, height: int) -> NDArray[np.bool_]:
    """Which pixels of the crop are within the frame, bool [128, 128]."""
    inverse = invert(forward)
    grid = np.arange(SWAPPER_SIZE, dtype=np.float64)
    xs = inverse[0, 0] * grid[None, :] + inverse[0, 1] * grid[:, None] + inverse[0, 2]
    ys = inverse[1, 0] * grid[None, :] + inverse[1, 1] * grid[:, None] + inverse[1, 2]
    return np.asarray((xs >= 0) & (ys >= 0) & (xs <= width - 1) & (ys <= height - 1))


def match_color(swapped: Pixels, crop: Pixels, in_frame: NDArray[np.bool_]) -> Pixels:
    """Give the skin of `swapped` the colour of the cheeks of `crop`, both uint8 BGR [128, 128, 3].

    Shifts colours in CIELAB, fully where the swapper changed the picture and the pixel is skin, and not at all
    elsewhere: shifting everything (Reinhard et al., 2001) would put a halo around the face and wash out hair, beards
    and eyes.
    """
    cheeks = in_frame & cheek_mask()
    if cheeks.sum() < MIN_CHEEK_PIXELS:
        return swapped
    ours, theirs = cielab.bgr_to_lab(swapped), cielab.bgr_to_lab(crop)
    our_skin, their_skin = np.median(ours[cheeks], 0), np.median(theirs[cheeks], 0)
    distance = (ours - our_skin) / np.array([LIGHTNESS_RANGE, HUE_RANGE, HUE_RANGE], np.float32)
    skin = np.exp(-np.square(distance).sum(2) / 2)
    change = np.sqrt(np.square(ours - theirs).sum(2))
    weight = cv2.GaussianBlur(skin * _smoothstep((change - UNCHANGED) / (CHANGED - UNCHANGED)), (0, 0), 0.8)
    shifted = ours + weight[:, :, None] * (their_skin - our_skin)
    return cielab.lab_to_bgr(shifted)


@cache
def cheek_mask() -> NDArray[np.bool_]:
    """Nose and cheeks, where skin is bare, bool [128, 128]."""
    x, y, half_width, half_height = CHEEKS
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    return np.asarray(((columns - x) / half_width) ** 2 + ((rows - y) / half_height) ** 2 <= 1)


def _smoothstep(values: NDArray[Any]) -> Any:
    """Clip to 0 to 1, and smooth the corners (Hermite interpolation)."""
    clipped = np.clip(values, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)
