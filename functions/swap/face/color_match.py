"""Gives a swapped face the colours of the picture: its skin's, and where the picture has but one tint, that tint."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face import cielab
from functions.swap.face.skin_shift import SKIN_RADIUS, SkinShift, find_skin_shift, weigh_shift
from functions.swap.values import Floats
from layers.media.picture import Pixels

CLIPPED = (8, 247)  # levels beyond which black and white say nothing of a colour: captions, highlights
TINTED_SKIN = 0.5  # of the skin's radius where nothing but lightness tells skin from hair
TINT_BINS = 25  # of lightness, 4 each
TINT_BLUR = 2.5  # sigma in pixels of the crop
# How near 95 in a hundred pixels are to the tint in a and b: 4 for JPEG's sake; photographs in colour have 5 or more.
TINT_TOLERANCE = 4.2
MIN_HUE_COSINE = 0.8  # between any two colours of one tint
GREY_CHROMA = 0.7  # a weaker tint is none


class ColorStatistics(NamedTuple):
    """What a swapped face and its crop say about colours."""

    shift: SkinShift | None  # None where too little skin is bare
    tint: Floats | None  # float32 [K, 3], as `find_tint` gives it; None where the picture has many colours


def measure_color(swapped: Pixels, crop: Pixels, in_frame: NDArray[np.bool_]) -> ColorStatistics:
    """The statistics by which `match_color` gives `swapped` the colours of `crop`; takes what that takes."""
    if not in_frame.any():
        return ColorStatistics(None, None)
    ours, theirs = cielab.bgr_to_lab(swapped), cielab.bgr_to_lab(crop)
    tint = find_tint(theirs, in_frame)
    if tint is not None:
        ours = project_on_tint(ours, tint)
    return ColorStatistics(find_skin_shift(ours, theirs, in_frame & ~_is_clipped(crop)), tint)


def match_color(
    swapped: Pixels, crop: Pixels, in_frame: NDArray[np.bool_], statistics: ColorStatistics | None = None
) -> Pixels:
    """Give `swapped` the skin's colour of `crop`, and its tint if it has but one; both uint8 BGR [128, 128, 3].

    `in_frame`, bool [128, 128], says which pixels of the crop the picture has. `statistics` are those of this crop, or
    what its neighbours in a moving picture have in common with it.
    """
    if not in_frame.any():
        return swapped
    shift, tint = statistics or measure_color(swapped, crop, in_frame)
    ours, theirs = cielab.bgr_to_lab(swapped), cielab.bgr_to_lab(crop)
    if tint is not None:
        ours = project_on_tint(ours, tint)
    if shift is not None:
        reach = SKIN_RADIUS if tint is None else SKIN_RADIUS * TINTED_SKIN
        ours = ours + weigh_shift(ours, theirs, shift, reach)[:, :, None] * shift.vector
    if tint is not None:
        return _render_tint(ours, tint)
    return swapped if shift is None else cielab.lab_to_bgr(ours)


def find_tint(lab: Floats, in_frame: NDArray[np.bool_]) -> Floats | None:
    """The tint of a crop, float32 [H, W, 3] in CIELAB, if hue and chroma are a function of its lightness; else None.

    Returns float32 [K, 3]: K colours with ascending lightness, between which the tint is interpolated. Colours are
    compared in the mean of a few pixels, as JPEG stores hue and chroma coarsely.
    """
    colours = lab[in_frame]
    bins = np.clip(colours[:, 0] * TINT_BINS / 100, 0, TINT_BINS - 1).astype(np.intp)
    counts = np.bincount(bins, minlength=TINT_BINS)
    sums = [np.bincount(bins, colours[:, channel], TINT_BINS) for channel in range(3)]
    tint = (np.stack(sums, 1)[counts > 0] / counts[counts > 0, None]).astype(np.float32)
    rest = cv2.GaussianBlur((lab - project_on_tint(lab, tint)) * in_frame[:, :, None], (0, 0), TINT_BLUR)
    distances = np.hypot(rest[:, :, 1], rest[:, :, 2])[in_frame]
    return tint if np.percentile(distances, 95) <= TINT_TOLERANCE and _has_one_hue(tint, counts[counts > 0]) else None


def _has_one_hue(tint: Floats, counts: NDArray[np.intp]) -> bool:
    """Whether the colours of a tint that many pixels have do not differ in hue: those of few flat areas would."""
    chroma = tint[(counts >= 0.01 * counts.sum()) & (np.hypot(tint[:, 1], tint[:, 2]) > TINT_TOLERANCE), 1:]
    if not len(chroma):
        return True
    directions = chroma / np.hypot(chroma[:, 0], chroma[:, 1])[:, None]
    return bool((directions @ directions.T).min() >= MIN_HUE_COSINE)


def project_on_tint(lab: Floats, tint: Floats) -> Floats:
    """Give colours, float32 [H, W, 3] in CIELAB, the tint's hue and chroma at their lightness."""
    lightness = lab[:, :, 0]
    return np.stack([lightness, *(_interpolate(lightness, tint, channel) for channel in (1, 2))], 2)


def _render_tint(lab: Floats, tint: Floats) -> Pixels:
    """Colours, float32 [H, W, 3] in CIELAB, with that tint as uint8 BGR: with three equal channels if it is grey."""
    if np.hypot(tint[:, 1], tint[:, 2]).max() >= GREY_CHROMA:
        return cielab.lab_to_bgr(project_on_tint(lab, tint))
    grey = cielab.lab_to_bgr(lab * np.array([1, 0, 0], np.float32))
    return np.ascontiguousarray(np.broadcast_to(grey[:, :, 1:2], grey.shape))


def _interpolate(lightness: Floats, tint: Floats, channel: int) -> Floats:
    return np.interp(lightness, tint[:, 0], tint[:, channel]).astype(np.float32)


def _is_clipped(crop: Pixels) -> NDArray[np.bool_]:
    low, high = CLIPPED
    blue, green, red = cv2.split(crop)
    brightest, darkest = cv2.max(cv2.max(blue, green), red), cv2.min(cv2.min(blue, green), red)
    return np.asarray((brightest <= low) | (darkest >= high))
