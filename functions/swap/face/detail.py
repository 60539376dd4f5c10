"""Detail transfer: where the swapper left the picture as it was, its own fine detail is kept.

A swap has 128 pixels across, the picture has as many as it likes. The result is up(swapped) + weight * (picture -
up(crop)): what the crop lost of the picture comes back where both crops agree, and nothing of it where they differ.
Around the face the picture has its own hair, ears and ground already, so there small changes are dropped altogether.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

from functions.swap.face import cielab
from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.face.face_mask import oval_radius, smoothstep
from functions.swap.values import Floats
from layers.media.picture import Pixels

# How far apart crop and swap may be in the face, in CIELAB: all detail up to the first, none from the second.
# inswapper_128 changes everything by 2 to 4.4, and new features by more than 15; freckles of the old face differ by 6.
AGREE, DIFFER = 3.5, 9.0
FACE_BLUR = 0.5  # sigma in pixels of the crop, before both are compared
MARGIN = 5  # pixels of the crop: the square around each pixel in which the worst counts
# The same around the face, where edges that moved by half a pixel of the crop are no change, but a beard is one.
AGREE_AROUND, DIFFER_AROUND = 20.0, 42.0
BLUR_AROUND = 2.5
AROUND = (0.79, 0.94)  # radii of the face's oval: the face up to the first, its surroundings from the second
DROPPED = (0.85, 1.0)  # the same for small changes, which fade out between the two

WEIGHT_BLUR = 1.5  # sigma in pixels of the crop
CHANGE_BLUR = 2.0  # the same for what the swapper changed where both agree: what is finer is grain and noise of its own

# Brows and eyes, nose, mouth, in pixels of the crop: x, y, half width and half height. Detail there is the old face's.
FEATURES = ((44.0, 46.0, 22.0, 16.0), (84.0, 46.0, 22.0, 16.0), (64.0, 67.0, 13.0, 15.0), (64.0, 93.0, 25.0, 14.0))
BROWS = (0.92, 1.06)  # radii of the face's oval, beyond which not even a brow reaches
FEATURE_FADE = 0.25  # of a feature's radius, over which its detail begins


class Change(NamedTuple):
    """What a swap does to the picture: it becomes up(added) + up(weight) * picture."""

    added: Floats  # float32 BGR [128, 128, 3]
    weight: Floats  # float32 [128, 128], 0 to 1


def find_change(swapped: Pixels, crop: Pixels, seen: Pixels) -> Change:
    """The change from `crop` to `swapped`, both uint8 BGR [128, 128, 3].

    `seen` is the crop of the picture as it is now: another one than `crop` where a neighbour was replaced meanwhile.
    What is left of the picture minus `seen` is then its detail still, and nothing of the old neighbour.
    """
    around = _compare(swapped, crop, BLUR_AROUND)
    in_face = cv2.dilate(_compare(swapped, crop, FACE_BLUR), np.ones((MARGIN, MARGIN), np.uint8))
    differs = smoothstep((around - AGREE_AROUND) / (DIFFER_AROUND - AGREE_AROUND))
    agreement = 1 - (differs + inner_mask(*AROUND) * (smoothstep((in_face - AGREE) / (DIFFER - AGREE)) - differs))
    weight = cv2.GaussianBlur(agreement.astype(np.float32), (0, 0), WEIGHT_BLUR) * (1 - feature_mask())
    weights = weight[:, :, None]
    difference = swapped.astype(np.float32) - seen
    smooth = cv2.GaussianBlur(difference, (0, 0), CHANGE_BLUR)
    difference += weights * (smooth - difference)
    large = cv2.GaussianBlur(differs, (0, 0), WEIGHT_BLUR)
    difference *= np.maximum(np.maximum(inner_mask(*DROPPED), feature_mask()), large)[:, :, None]
    return Change(difference + (1 - weights) * seen, weight)


def _compare(one: Pixels, other: Pixels, blur: float) -> Floats:
    """The distances between two pictures in CIELAB, float32 [H, W], after a blur in pixels."""
    smooth = [np.asarray(cv2.GaussianBlur(image, (0, 0), blur), np.uint8) for image in (one, other)]
    labs = [cielab.bgr_to_lab(image) for image in smooth]
    return np.asarray(np.sqrt(np.square(labs[0] - labs[1]).sum(2)), np.float32)


@cache
def inner_mask(inside: float, outside: float) -> Floats:
    """The face's oval, float32 [128, 128]: 1 up to the radius `inside`, 0 from `outside` on."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    return np.asarray(smoothstep((outside - oval_radius(columns, rows)) / (outside - inside)), np.float32)


@cache
def feature_mask() -> Floats:
    """Brows, eyes, nose and mouth, float32 [128, 128], 1 inside, fading to 0."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    radii = [np.hypot((columns - x) / wide, (rows - y) / high) for x, y, wide, high in FEATURES]
    features = smoothstep((1 + FEATURE_FADE - np.min(radii, 0)) / FEATURE_FADE)
    return np.asarray(features * inner_mask(*BROWS), np.float32)
