"""Detail transfer: where the swapper left the picture as it was, its own fine detail is kept.

A swap has 128 pixels across, the picture has as many as it likes. The result is up(swapped) + weight * (picture -
up(crop)): what the crop lost of the picture comes back where both crops agree, or at least have the same edges, and
nothing of it where they differ. Around the face the picture has its own hair, ears and ground already, so there small
changes are dropped altogether.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from functions.swap.face import cielab
from functions.swap.face.face_mask import feature_mask, oval_mask, smoothstep
from functions.swap.values import Floats
from layers.media.picture import Pixels

# How far apart crop and swap may be in the face, in CIELAB: all detail up to the first, none from the second.
# inswapper_128 changes everything by 2 to 4.4, and new features by more than 15; freckles of the old face differ by 6.
AGREE, DIFFER = 3.5, 9.0
FACE_BLUR = 0.5  # sigma in pixels of the crop, before both are compared
MARGIN = 5  # pixels of the crop: the square around each pixel in which the worst counts
# The same around the face, where edges that moved by half a pixel of the crop are no change, but a beard is one.
AGREE_AROUND, DIFFER_AROUND = 14.0, 30.0
BLUR_AROUND = 2.5
AROUND = (0.79, 0.94)  # radii of the face's oval: the face up to the first, its surroundings from the second
DROPPED = (0.85, 1.0)  # the same for small changes, which fade out between the two

SLOPE_BLUR = 3.0  # sigma in pixels of the crop, within which the swap is compared with a line through the crop's levels
FLAT = 30.0  # squared levels: the variance of a crop that is flat but for its noise
MAX_SLOPE = 2.0  # a steeper edge would make grain of noise
SLOPE_SHARE = 0.4  # of the swap's variance, that the line explains; of less, edges of the old face could come back

WEIGHT_BLUR = 1.5  # sigma in pixels of the crop
CHANGE_BLUR = 2.0  # the same for what the swapper changed where both agree: what is finer is grain and noise of its own


class Change(NamedTuple):
    """What a swap does to the picture: it becomes up(added) + up(weight) * picture."""

    added: Floats  # float32 BGR [128, 128, 3]
    weight: Floats  # float32 BGR [128, 128, 3], -MAX_SLOPE to MAX_SLOPE


def find_change(swapped: Pixels, crop: Pixels, seen: Pixels) -> Change:
    """The change from `crop` to `swapped`, both uint8 BGR [128, 128, 3].

    `seen` is the crop of the picture as it is now: another one than `crop` where a neighbour was replaced meanwhile.
    What is left of the picture minus `seen` is then its detail still, and nothing of the old neighbour.
    """
    around = _compare(swapped, crop, BLUR_AROUND)
    in_face = cv2.dilate(_compare(swapped, crop, FACE_BLUR), np.ones((MARGIN, MARGIN), np.uint8))
    differs = smoothstep((around - AGREE_AROUND) / (DIFFER_AROUND - AGREE_AROUND))
    agreement = 1 - (differs + oval_mask(*AROUND) * (smoothstep((in_face - AGREE) / (DIFFER - AGREE)) - differs))
    agreement = cv2.GaussianBlur(agreement.astype(np.float32), (0, 0), WEIGHT_BLUR)[:, :, None]
    bare = (1 - feature_mask())[:, :, None]
    weight = bare * (agreement + (1 - agreement) * _find_slope(swapped, crop))
    difference = swapped.astype(np.float32) - seen
    smooth = cv2.GaussianBlur(difference, (0, 0), CHANGE_BLUR)
    difference += bare * agreement * (smooth - difference)
    large = cv2.GaussianBlur(differs, (0, 0), WEIGHT_BLUR)
    share = np.maximum(np.maximum(oval_mask(*DROPPED), feature_mask()), large)[:, :, None]
    weight = 1 - share * (1 - weight)
    return Change(share * difference + (1 - weight) * seen, weight)


def _find_slope(swapped: Pixels, crop: Pixels) -> Floats:
    """How steep the swap's edges are over the picture's, float32 BGR [128, 128, 3]: 0 where it has others.

    A jaw's edge is still the picture's when the cheek beside it has another colour. This is the slope of the line that
    predicts the swap from the crop around each pixel (a guided filter: He et al., 2013), negative where a light edge
    became a dark one.
    """
    ours, theirs = swapped.astype(np.float32), crop.astype(np.float32)
    our_mean, their_mean = _average(ours), _average(theirs)
    covariance = _average(ours * theirs) - our_mean * their_mean
    our_variance, their_variance = _average(ours * ours) - our_mean**2, _average(theirs * theirs) - their_mean**2
    slope = covariance / (their_variance + FLAT)
    share = smoothstep(slope * covariance / (our_variance + FLAT) / SLOPE_SHARE)
    return np.asarray(share * np.clip(slope, -MAX_SLOPE, MAX_SLOPE), np.float32)


def _average(levels: Floats) -> Floats:
    """The mean of levels, float32 [H, W, 3], around each pixel."""
    return np.asarray(cv2.GaussianBlur(levels, (0, 0), SLOPE_BLUR), np.float32)


def _compare(one: Pixels, other: Pixels, blur: float) -> Floats:
    """The distances between two pictures in CIELAB, float32 [H, W], after a blur in pixels."""
    smooth = [np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8) for image in (one, other)]
    labs = [cielab.bgr_to_lab(image) for image in smooth]
    difference = labs[0] - labs[1]
    return np.asarray(np.sqrt(np.einsum("ijk,ijk->ij", difference, difference)), np.float32)
