"""How opaque a swapped crop is over the picture: the blending masks, and what belongs to a neighbouring face."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, alignment_matrix, invert
from functions.swap.values import Face, Floats
from layers.media.picture import Pixels

# The feather mask, in pixels of the crop: opaque inside, transparent at the rim, where the crop's border would show.
FEATHER_MARGIN = 2.0  # transparent, at each side
FEATHER_WIDTH = 13.0  # from transparent to opaque
FEATHER_EXPONENT = 2.3  # of the superellipse: 2 is an ellipse, more is squarer; a jaw leaves the corners empty

# The oval that an upright face fills, in pixels of the crop.
OVAL = (64.0, 72.0, 45.0, 60.0)  # x, y, half width and half height

# Brows and eyes, nose, mouth, in pixels of the crop: x, y, half width and half height. Detail there is the old face's.
FEATURES = ((44.0, 46.0, 22.0, 16.0), (84.0, 46.0, 22.0, 16.0), (64.0, 67.0, 13.0, 15.0), (64.0, 93.0, 25.0, 14.0))
BROWS = (0.92, 1.06)  # radii of the face's oval, beyond which not even a brow reaches
FEATURE_FADE = 0.25  # of a feature's radius, over which its detail begins

# Two ovals share a pixel by its radii, its distances from their middles as shares of the way to their rims.
SEAM_WIDTH = 0.2  # the difference of the radii over which one face gives way to the other
KEPT_MARGIN = 0.2  # by which a face that stays as it is reaches beyond the line of equal radii
CLAIM_RADIUS, CLAIM_FADE = 1.0, 0.3  # a face claims all pixels up to this radius, and fewer over the next stretch


class Neighbour(NamedTuple):
    """Another face of the picture."""

    forward: Matrix  # maps the picture to its aligned crop
    swapped: bool  # whether it is replaced too


def find_neighbours(face: Face, faces: Iterable[Face], chosen: Sequence[Face]) -> list[Neighbour]:
    """The other faces of a picture that can be aligned; `chosen` are those that are replaced."""
    replaced = {other.index for other in chosen}
    neighbours = [
        Neighbour(alignment_matrix(other.keypoints, SWAPPER_SIZE), other.index in replaced)
        for other in faces
        if other.index != face.index and np.isfinite(other.keypoints).all()
    ]
    return [neighbour for neighbour in neighbours if neighbour.forward[:, :2].any()]


def oval_radius(xs: NDArray[Any], ys: NDArray[Any]) -> NDArray[np.float64]:
    """The radius of points of a crop in the face's oval: 0 in its middle, 1 on its rim."""
    x, y, half_width, half_height = OVAL
    return np.asarray(np.hypot((xs - x) / half_width, (ys - y) / half_height), np.float64)


def share_mask(forward: Matrix, neighbours: Sequence[Neighbour]) -> Floats | None:
    """Which part of each pixel of the crop is this face's own, float32 [128, 128], 0 to 1; None if all of it is.

    A pixel belongs to the face in whose oval it lies deeper. Two faces that are both replaced meet on the line of
    equal radii; one that stays as it is reaches a little further, as nothing tells which of the two is in front.
    """
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE].astype(np.float64)
    radius, share = oval_radius(columns, rows), None
    to_picture = np.vstack([invert(forward), (0, 0, 1)])
    for neighbour in neighbours:
        across = neighbour.forward @ to_picture  # from this crop to the neighbour's
        theirs = oval_radius(*(row[0] * columns + row[1] * rows + row[2] for row in across))
        if theirs.min() >= CLAIM_RADIUS + CLAIM_FADE:
            continue
        lead = theirs - radius - (0 if neighbour.swapped else KEPT_MARGIN + SEAM_WIDTH / 2)
        ours = smoothstep(lead / SEAM_WIDTH + 0.5)
        own = np.maximum(ours, smoothstep((theirs - CLAIM_RADIUS) / CLAIM_FADE)).astype(np.float32)
        share = own if share is None else share * own
    return share


@cache
def oval_mask(inside: float, outside: float) -> Floats:
    """The face's oval, float32 [128, 128]: 1 up to the radius `inside`, 0 from `outside` on."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    return np.asarray(smoothstep((outside - oval_radius(columns, rows)) / (outside - inside)), np.float32)


@cache
def feature_mask() -> Floats:
    """Brows, eyes, nose and mouth, float32 [128, 128], 1 inside, fading to 0."""
    rows, columns = np.mgrid[:SWAPPER_SIZE, :SWAPPER_SIZE]
    radii = [np.hypot((columns - x) / wide, (rows - y) / high) for x, y, wide, high in FEATURES]
    features = smoothstep((1 + FEATURE_FADE - np.min(radii, 0)) / FEATURE_FADE)
    return np.asarray(features * oval_mask(*BROWS), np.float32)


@cache
def feather_mask() -> Pixels:
    """The soft-edged mask, uint8 [128, 128]: a rounded square that fades towards the crop's rim."""
    half = SWAPPER_SIZE / 2
    across = np.abs((np.arange(SWAPPER_SIZE) + 0.5) / half - 1) * half / (half - FEATHER_MARGIN)
    powers = across[None, :] ** FEATHER_EXPONENT + across[:, None] ** FEATHER_EXPONENT
    depth = (1 - powers ** (1 / FEATHER_EXPONENT)) * (half - FEATHER_MARGIN)
    return np.asarray(np.rint(255 * smoothstep(depth / FEATHER_WIDTH)), np.uint8)


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


def smoothstep(values: NDArray[Any]) -> Any:
    """Clip to 0 to 1, and smooth the corners (Hermite interpolation)."""
    clipped = np.clip(values, 0, 1)
    return clipped * clipped * (3 - 2 * clipped)
