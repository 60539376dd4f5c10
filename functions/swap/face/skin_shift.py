"""How far a swapped face's skin is from the picture's, and which pixels move by that much."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.face.face_mask import feature_mask, oval_mask, smoothstep
from functions.swap.values import Floats

# Where skin is mostly bare, in pixels of the crop: nose and cheeks, beneath the eyes and above the mouth; the forehead.
BARE_SKIN = ((64.0, 72.0, 32.0, 18.0), (64.0, 36.0, 24.0, 9.0))  # x, y, half width and half height
MIN_SKIN_PIXELS = 50  # that show skin both before and after the swap
SAMPLE_STEP = 12  # one in so many of those pixels stands for all while the commonest colour is looked for
SKIN_RADIUS = np.array([14.0, 8.0, 8.0], np.float32)  # of skin around its commonest colour, in CIELAB's L, a and b
# How far a colour may be from the skin's to move with it, in L, a and b. Lightness varies more than hue.
MATCH_RANGE = np.array([35.0, 20.0, 20.0], np.float32)
# How much the swapper changed a pixel, as a distance in CIELAB: not at all up to the first, fully from the second.
# inswapper_128 changes everything by 2 to 4.4, hair and ground included.
UNCHANGED, CHANGED = 4.5, 9.0
# The same as shares of the distance between both skins, as hair that stayed hair may have the colour of new skin.
UNCHANGED_SHARE, CHANGED_SHARE = 0.3, 0.6
INNER_FACE = (64.0, 76.0, 38.0, 35.0)  # x, y, half width and half height in the crop: no hair, no ground
INTERIOR = (0.75, 0.85)  # radii of the face's oval, within which what is thin is no hair, nor where the brows are
THIN_BEFORE, THIN_CHANGE = 13, 9  # pixels of the crop that brows and frames of glasses are narrower than
MATCHED = (0.85, 1.0)  # radii of the oval between which the match of new skin ends
# How far a pixel may be from any mixture of new skin with what is beside it, in CIELAB: fully explained up to the
# first, not at all from the second.
EXPLAINED, UNEXPLAINED = 9.0, 18.0


class SkinShift(NamedTuple):
    """How skin is moved, in CIELAB."""

    skin: Floats  # float32 [3], the swapped face's colour
    vector: Floats  # float32 [3], from there to the picture's


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

    All where the swapper changed skin within the face's oval: shifting everything (Reinhard et al., 2001) would put a
    halo around the face and wash out hair, beards and eyes. Around eyes, nose and mouth the picture must show skin
    too: up to a distance of `reach` from the skin's colour, fading out over as much again. On the rim, where a pixel
    is part skin and part something else, as much as brings the picture back, and the same on ears and neck.
    """
    return np.maximum(_weigh_new_skin(ours, theirs, shift, reach), _weigh_mixtures(ours, theirs, shift))


def _weigh_new_skin(ours: Floats, theirs: Floats, shift: SkinShift, reach: Floats) -> Floats:
    """The part of the shift for pixels that are skin; float32 [128, 128]."""
    interior = interior_mask()
    skin = np.exp(-_sum_squares((ours - shift.skin) / MATCH_RANGE) / 2)
    before = smoothstep(2 - np.sqrt(_sum_squares((theirs - shift.skin - shift.vector) / reach)))
    before = np.asarray(cv2.erode(before, np.ones((3, 3), np.uint8)), np.float32)
    before = _close(before, THIN_BEFORE, interior)
    length = float(np.linalg.norm(shift.vector))
    unchanged, changed = max(UNCHANGED, UNCHANGED_SHARE * length), max(CHANGED, CHANGED_SHARE * length)
    change = smoothstep((np.sqrt(_sum_squares(ours - theirs)) - unchanged) / (changed - unchanged))
    change = _close(change, THIN_CHANGE, np.maximum(interior, inner_mask()))
    share = skin * np.maximum(before, inner_mask()) * change * oval_mask(*MATCHED)
    return np.asarray(cv2.GaussianBlur(share, (0, 0), 0.8), np.float32)


def _close(mask: Floats, width: int, where: Floats) -> Floats:
    """Fill what is thinner than `width` in a mask: old glasses over new skin would else show as a ghost."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (width, width))
    return np.asarray(np.maximum(mask, where * cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel)), np.float32)


def _weigh_mixtures(ours: Floats, theirs: Floats, shift: SkinShift) -> Floats:
    """The part of the shift that takes a pixel nearest to what the picture has, if that is near; float32 [128, 128].

    Where the swapper painted its skin's colour over a part of a pixel, this is that part. It cannot do harm to hair
    and ground: it moves nothing that the swapper left alone, and what it moves comes nearer to the picture.
    """
    difference = theirs - ours
    square = max(float(shift.vector @ shift.vector), 1e-6)
    share = np.asarray(np.clip(difference @ shift.vector / square, 0, 1), np.float32)
    rest = np.sqrt(_sum_squares(np.asarray(difference - share[:, :, None] * shift.vector, np.float32)))
    share *= (1 - smoothstep((rest - EXPLAINED) / (UNEXPLAINED - EXPLAINED))) * (1 - inner_mask())
    smooth = cv2.GaussianBlur(share, (0, 0), 1.0)  # no edge of the old face shows within the new one
    return np.asarray(share + interior_mask() * (smooth - share), np.float32)


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
def interior_mask() -> Floats:
    """The face without its rim, float32 [128, 128], 1 inside, fading to 0."""
    return np.maximum(oval_mask(*INTERIOR), feature_mask())
