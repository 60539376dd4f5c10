"""Gives a swapped face the colours of the picture: its skin's, and where the picture has but one tint, that tint."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face import cielab
from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.face.face_mask import oval_radius, smoothstep
from functions.swap.values import Floats
from layers.media.picture import Pixels

# Where skin is mostly bare, in pixels of the crop: nose and cheeks, beneath the eyes and above the mouth; the forehead.
BARE_SKIN = ((64.0, 72.0, 32.0, 18.0), (64.0, 36.0, 24.0, 9.0))  # x, y, half width and half height
MIN_SKIN_PIXELS = 50  # that show skin both before and after the swap
SAMPLE_STEP = 12  # one in so many of those pixels stands for all while the commonest colour is looked for
SKIN_RADIUS = np.array([14.0, 8.0, 8.0], np.float32)  # of skin around its commonest colour, in CIELAB's L, a and b
CLIPPED = (8, 247)  # levels beyond which black and white say nothing of a colour: captions, highlights
# How far a colour may be from the skin's to move with it, in L, a and b. Lightness varies more than hue.
MATCH_RANGE = np.array([35.0, 20.0, 20.0], np.float32)
# How much the swapper changed a pixel, as a distance in CIELAB: not at all up to the first, fully from the second.
# inswapper_128 changes everything by 2 to 4.4, hair and ground included.
UNCHANGED, CHANGED = 4.5, 9.0
# The same as shares of the distance between both skins, as hair that stayed hair may have the colour of new skin.
UNCHANGED_SHARE, CHANGED_SHARE = 0.3, 0.6
INNER_FACE = (64.0, 76.0, 38.0, 35.0)  # x, y, half width and half height in the crop: no hair, no ground
OVAL_FADE = 0.15  # of the oval's radius, over which the match ends

TINTED_SKIN = 0.5  # of the skin's radius where nothing but lightness tells skin from hair
TINT_BINS = 25  # of lightness, 4 each
TINT_BLUR = 2.5  # sigma in pixels of the crop
# How near 95 in a hundred pixels are to the tint in a and b: 4 for JPEG's sake; photographs in colour have 5 or more.
TINT_TOLERANCE = 4.2
MIN_HUE_COSINE = 0.8  # between any two colours of one tint
GREY_CHROMA = 0.7  # a weaker tint is none


class SkinShift(NamedTuple):
    """How skin is moved, in CIELAB."""

    skin: Floats  # float32 [3], the swapped face's colour
    vector: Floats  # float32 [3], from there to the picture's


def match_color(swapped: Pixels, crop: Pixels, in_frame: NDArray[np.bool_]) -> Pixels:
    """Give `swapped` the skin's colour of `crop`, and its tint if it has but one; both uint8 BGR [128, 128, 3].

    `in_frame`, bool [128, 128], says which pixels of the crop the picture has.
    """
    if not in_frame.any():
        return swapped
    ours, theirs = cielab.bgr_to_lab(swapped), cielab.bgr_to_lab(crop)
    tint = find_tint(theirs, in_frame)
    if tint is not None:
        ours = project_on_tint(ours, tint)
    shift = find_skin_shift(ours, theirs, in_frame & ~_is_clipped(crop))
    if shift is not None:
        reach = SKIN_RADIUS if tint is None else SKIN_RADIUS * TINTED_SKIN
        ours = ours + weigh_shift(ours, theirs, shift, reach)[:, :, None] * shift.vector
    if tint is not None:
        return _render_tint(ours, tint)
    return swapped if shift is None else cielab.lab_to_bgr(ours)


def find_skin_shift(ours: Floats, theirs: Floats, usable: NDArray[np.bool_]) -> SkinShift | None:
    """The median difference of skin that both faces show bare; None if too little of it is `usable`, bool [128, 128].

    Skin is what is near the commonest colour of cheeks and forehead, so that no caption or hand over them counts.
    Takes float32 [128, 128, 3] in CIELAB.
    """
    bare = usable & bare_skin_mask()
    if bare.sum() < MIN_SKIN_PIXELS:
        return None
    our_pixels, their_pixels = ours[bare], theirs[bare]
    both = _near_commonest(our_pixels) & _near_commonest(their_pixels)
    if both.sum() < MIN_SKIN_PIXELS:
        return None
    skin, difference = our_pixels[both], their_pixels[both] - our_pixels[both]
    return SkinShift(np.median(skin, 0).astype(np.float32), np.median(difference, 0).astype(np.float32))


def _near_commonest(colours: Floats) -> NDArray[np.bool_]:
    """Which colours, float32 [N, 3] in CIELAB, are near the one that most of them are near; bool [N]."""
    sample = colours[::SAMPLE_STEP] / SKIN_RADIUS
    squares = np.square(sample).sum(1)
    distances = squares[:, None] + squares[None, :] - 2 * sample @ sample.T
    commonest = sample[np.exp(-distances).sum(1).argmax()]
    return np.asarray(_sum_squares(colours / SKIN_RADIUS - commonest) <= 4)


def weigh_shift(ours: Floats, theirs: Floats, shift: SkinShift, reach: Floats) -> Floats:
    """How much of the shift each pixel gets, float32 [128, 128], 0 to 1; from float32 [128, 128, 3] in CIELAB.

    All where the swapper changed skin within the face's oval, and nothing elsewhere: shifting everything (Reinhard et
    al., 2001) would put a halo around the face and wash out hair, beards and eyes. Around eyes, nose and mouth the
    picture must show skin too: up to a distance of `reach` from the skin's colour, fading out over as much again.
    """
    skin = np.exp(-_sum_squares((ours - shift.skin) / MATCH_RANGE) / 2)
    before = smoothstep(2 - np.sqrt(_sum_squares((theirs - shift.skin - shift.vector) / reach)))
    before = cv2.erode(before, np.ones((3, 3), np.uint8))
    skin *= np.maximum(before, inner_mask())
    length = float(np.linalg.norm(shift.vector))
    unchanged, changed = max(UNCHANGED, UNCHANGED_SHARE * length), max(CHANGED, CHANGED_SHARE * length)
    change = np.sqrt(_sum_squares(ours - theirs))
    share = skin * smoothstep((change - unchanged) / (changed - unchanged)) * oval_mask()
    return np.asarray(cv2.GaussianBlur(share, (0, 0), 0.8), np.float32)


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


def _sum_squares(vectors: Floats) -> Floats:
    """The sums of squares along the last axis, several times as fast as numpy's sum along so short a one."""
    return np.asarray(np.einsum("...i,...i->...", vectors, vectors), np.float32)


@cache
def bare_skin_mask() -> NDArray[np.bool_]:
    """Cheeks, nose and forehead, bool [128, 128]."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    ellipses = [np.hypot((columns - x) / wide, (rows - y) / high) <= 1 for x, y, wide, high in BARE_SKIN]
    return np.asarray(np.logical_or.reduce(ellipses))


@cache
def inner_mask() -> Floats:
    """Eyes, nose and mouth, float32 [128, 128], 1 inside, fading to 0: new skin may replace anything there."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    x, y, wide, high = INNER_FACE
    return np.asarray(smoothstep((1.1 - np.hypot((columns - x) / wide, (rows - y) / high)) / 0.2), np.float32)


@cache
def oval_mask() -> Floats:
    """The face's oval, float32 [128, 128], 1 inside, fading to 0 at its rim."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    return np.asarray(smoothstep((1 - oval_radius(columns, rows)) / OVAL_FADE), np.float32)
