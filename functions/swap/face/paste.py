"""Paste-back: blending the swapped crop into the picture's own memory, within the face's box."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, bounding_box, crop_with, invert
from functions.swap.face.color_match import match_color
from functions.swap.face.detail import Change, find_change
from functions.swap.face.face_mask import Neighbour, erode_mask, feather_mask, frame_mask, share_mask
from functions.swap.face.grain import Grain, cut_tile, make_tile, measure_grain
from functions.swap.face.overlay import Overlay, cut_overlay, find_overlay
from functions.swap.values import Detail
from layers.core.telemetry import Phases
from layers.media.picture import Pixels

BAND_PIXELS = 1 << 19  # blended at a time, so that a face of forty megapixels needs little more memory than its mask
FINE_BAND_PIXELS = 1 << 17  # the same in float32, with detail and grain
FRAME_STEP = (101, 37)  # pixels by which the grain moves from frame to frame; the tile has 256


def paste(
    pixels: Pixels,
    crop: Pixels,
    swapped: Pixels,
    forward: Matrix,
    *,
    color_match: bool,
    soft_edges: bool,
    detail: Detail,
    neighbours: Sequence[Neighbour] = (),
    frame: int = 0,
    phases: Phases | None = None,
) -> None:
    """Put `swapped` (uint8 BGR [128, 128, 3]) over the face that `crop` shows; `forward` maps the picture to the crop.

    Changes `pixels` (uint8 BGR [H, W, 3]) in place, only within the crop's box, and not where a neighbour is nearer.
    `balanced` detail keeps the picture's own where the swapper changed nothing, captions, and the grain; `fast` is the
    crop alone, enlarged by a cubic kernel, or with both options off by a linear one: then, with no neighbour near, the
    result is that of insightface's `INSwapper.get(paste_back=True)` up to rounding. Each `frame` of a moving picture
    gets grain of its own. Of the `phases` it enters "paste", and "detail" for what `balanced` takes longer.
    """
    phases = phases or Phases()
    height, width = pixels.shape[:2]
    inverse = invert(forward)
    x0, y0, x1, y1 = bounding_box(inverse, SWAPPER_SIZE, width, height)
    if x0 >= x1 or y0 >= y1:
        return
    with phases("paste"):
        if color_match:
            swapped = match_color(swapped, crop, frame_mask(forward, width, height))
        local = inverse.copy()
        local[:, 2] -= (x0, y0)
        box = pixels[y0:y1, x0:x1]
        mask = _warp_mask(local, (x1 - x0, y1 - y0), share_mask(forward, neighbours), soft_edges)
        if detail == "fast":
            _blend(box, swapped, local, mask, _SMOOTH if color_match or soft_edges else _PLAIN)
            return
    with phases("detail"):
        now = crop_with(pixels, forward, mirror_border=True) if neighbours else crop
        change = find_change(swapped, crop, now)
        surroundings = _Surroundings(find_overlay(box), measure_grain(box), x0, y0, frame)
    _blend_change(box, change, local, mask, surroundings, phases)


def _blend(box: Pixels, swapped: Pixels, local: Matrix, mask: NDArray[Any], warp: dict[str, Any]) -> None:
    """Lay the swapped crop over the box, in bands; `local` maps the crop to the box."""
    opaque = np.iinfo(mask.dtype).max
    for rows, transform in _split(box, local, BAND_PIXELS):
        band = box[rows]
        face = cv2.warpAffine(swapped, transform, (band.shape[1], band.shape[0]), **warp)
        opacity = mask[rows].astype(np.float32)
        opacity /= opaque
        cv2.blendLinear(face, band, opacity, 1 - opacity, dst=band)


class _Surroundings(NamedTuple):
    """What the picture has over and around a face."""

    overlay: Overlay | None
    grain: Grain | None
    x: int  # of the box's first pixel in the picture, on which its grain depends
    y: int
    frame: int


def _blend_change(
    box: Pixels, change: Change, local: Matrix, mask: NDArray[Any], surroundings: _Surroundings, phases: Phases
) -> None:
    """Apply the change to the box, in bands, except under an overlay; add grain for what is lost of the picture's."""
    opaque = np.iinfo(mask.dtype).max
    overlay, grain, x, y, frame = surroundings
    x, y = x + FRAME_STEP[0] * frame, y + FRAME_STEP[1] * frame
    with phases("detail"):
        tile = make_tile(grain) if grain else None
    for rows, transform in _split(box, local, FINE_BAND_PIXELS):
        band = box[rows]
        size = (band.shape[1], band.shape[0])
        with phases("paste"):
            alpha = mask[rows].astype(np.float32)
            alpha /= opaque
            if overlay is not None:
                alpha[cut_overlay(overlay, rows.start, size) > 0] = 0
            opacity = cv2.merge([alpha] * 3)
            result = cv2.warpAffine(change.added, transform, size, **_SMOOTH)
            cv2.multiply(result, opacity, dst=result)
        with phases("detail"):
            kept = cv2.warpAffine(change.weight, transform, size, **_SMOOTH)  # by the kernel of what was taken away
            kept -= 1
            cv2.multiply(kept, opacity, dst=kept)
            kept += 1
            cv2.add(result, cv2.multiply(band, kept, dtype=cv2.CV_32F), dst=result)
            if tile is not None:
                lost = cv2.sqrt(np.maximum(1 - kept * kept, 0))
                grains = cut_tile(tile, x, y + rows.start, *size)
                cv2.add(result, cv2.multiply(grains, lost), dst=result)
            cv2.convertScaleAbs(np.maximum(result, 0, out=result), dst=band)


def _split(box: Pixels, local: Matrix, pixels: int) -> Iterator[tuple[slice, Matrix]]:
    """The bands of a box, from top to bottom: rows, and the transform from the crop to the band."""
    height, width = box.shape[:2]
    rows = max(pixels // width, 1)
    for top in range(0, height, rows):
        transform = local.copy()
        transform[1, 2] -= top
        yield slice(top, min(top + rows, height)), transform


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
