"""Paste-back: blending the swapped crop into the picture's own memory, within the face's box."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, bounding_box, invert
from functions.swap.face.color_match import match_color
from functions.swap.face.face_mask import Neighbour, erode_mask, feather_mask, frame_mask, share_mask
from layers.media.picture import Pixels

BAND_PIXELS = 1 << 19  # blended at a time, so that a face of forty megapixels needs little more memory than its mask


def paste(
    pixels: Pixels,
    crop: Pixels,
    swapped: Pixels,
    forward: Matrix,
    *,
    color_match: bool,
    soft_edges: bool,
    neighbours: Sequence[Neighbour] = (),
) -> None:
    """Put `swapped` (uint8 BGR [128, 128, 3]) over the face that `crop` shows; `forward` maps the picture to the crop.

    Changes `pixels` (uint8 BGR [H, W, 3]) in place, only within the crop's box, and not where a neighbour is nearer.
    With both options off and no neighbour near, the result is that of insightface's `INSwapper.get(paste_back=True)`
    up to rounding; with one of them the crop is enlarged by a cubic kernel instead of a linear one.
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
    mask = _warp_mask(local, size, share_mask(forward, neighbours), soft_edges)
    opaque = np.iinfo(mask.dtype).max
    warp = _SMOOTH if color_match or soft_edges else _PLAIN
    rows = max(BAND_PIXELS // size[0], 1)
    for top in range(0, size[1], rows):
        band_mask = mask[top : top + rows]
        band = pixels[y0 + top : y0 + top + len(band_mask), x0:x1]
        band_transform = local.copy()
        band_transform[1, 2] -= top
        face = cv2.warpAffine(swapped, band_transform, (size[0], len(band_mask)), **warp)
        opacity = band_mask.astype(np.float32)
        opacity /= opaque
        cv2.blendLinear(face, band, opacity, 1 - opacity, dst=band)


# How a swapped crop is enlarged: as insightface does it, and sharper, without the black around it.
_PLAIN: dict[str, Any] = {"flags": cv2.INTER_LINEAR, "borderValue": 0.0}
_SMOOTH: dict[str, Any] = {"flags": cv2.INTER_CUBIC, "borderMode": cv2.BORDER_REPLICATE}


def _warp_mask(
    inverse: Matrix, size: tuple[int, int], share: NDArray[np.float32] | None, soft_edges: bool
) -> NDArray[Any]:
    """The opacity of a box of `size` (width, height), uint8 or uint16 [H, W]; `share` is this face's, [128, 128]."""
    if soft_edges:
        feather = feather_mask() if share is None else np.rint(feather_mask() * share).astype(np.uint8)
        return np.asarray(cv2.warpAffine(feather, inverse, size))
    mask = erode_mask(inverse, size)
    if share is not None:
        cut = cv2.warpAffine(np.rint(share * 255).astype(np.uint8), inverse, size, borderMode=cv2.BORDER_REPLICATE)
        cv2.multiply(mask, cut, dst=mask, scale=1 / 255, dtype=cv2.CV_16U)
    return mask
