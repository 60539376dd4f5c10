"""Where a part of a face went that is being covered: flow's windows show what covers it, so all of it is matched."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix, translate
from functions.swap.moving.patch import cut_patch
from functions.swap.values import Floats
from layers.media.picture import Pixels

MARGIN = 32  # pixels of the aligned crop, as far as which is searched
LEVELS = (4, 2, 1)  # pixels for one, coarse to fine
HIDDEN = 30.0  # levels: whatever differs by more is covered, and counts no more
LOST = 20.0  # the same once the place is nearly right
STEPS = 6  # in which the rest of the way is found, to a fraction of a pixel
WORST, ASTRAY = 1e4, 6.0  # condition, and pixels, from which that has failed
PULL = 0.5  # levels, for each pixel of the aligned crop by which a face would not go as before


def search_part(
    before: Pixels, after: Pixels, keypoints: Floats, shift: Floats, clear: NDArray[np.bool_]
) -> Floats | None:
    """How far a face with these keypoints [5, 2] went between two grey frames, uint8 [H, W]: float32 [2] in pixels.

    `shift` [2] is about how far, and `clear`, bool [N, N] over the aligned crop, where the face was seen. Only a
    translation is found. None if nothing can be compared.
    """
    forward = alignment_matrix(keypoints, SWAPPER_SIZE)
    if not forward[:, :2].any() or not clear.any():
        return None
    old, new = _crop(before, forward, 0), _crop(after, translate(forward, *-shift), MARGIN)
    if old is None or new is None:
        return None
    side = SWAPPER_SIZE, SWAPPER_SIZE
    mask = np.asarray(cv2.resize(clear.astype(np.uint8), side, interpolation=cv2.INTER_NEAREST), np.uint8)
    x = y = 0
    for level in LEVELS:
        reach = MARGIN // level if level == LEVELS[0] else 2
        small, wide, part = (_shrink(each, level) for each in (old, new, mask))
        x, y = _match(small, wide, part, x // level, y // level, reach, level)
    place = refine_place(old, new, mask > 0, np.array([x, y], np.float64))
    scale = float(np.hypot(*forward[:, 0])) ** 2
    return np.asarray(shift + forward[:, :2].T @ place / scale, np.float32)


def _crop(frame: Pixels, forward: NDArray[np.float64], margin: int) -> Pixels | None:
    """The aligned crop of a grey frame with a margin, uint8 [N, N]."""
    side = SWAPPER_SIZE + 2 * margin
    patch = cut_patch(frame, forward, 1.05 * side / SWAPPER_SIZE, SWAPPER_SIZE, pad=True)
    if patch is None:
        return None
    across = patch.map_transform(forward)
    across[:, 2] += margin
    return np.asarray(cv2.warpAffine(patch.pixels, across, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _shrink(crop: Pixels, level: int) -> NDArray[np.float32]:
    size = crop.shape[1] // level, crop.shape[0] // level
    return np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.float32)


def _match(
    old: NDArray[np.float32],
    new: NDArray[np.float32],
    mask: NDArray[np.float32],
    x: int,
    y: int,
    reach: int,
    level: int,
) -> tuple[int, int]:
    """The shift, in pixels of the crop, near x, y, in those of this level, at which the most of the old is there."""
    size, middle = old.shape[0], (new.shape[0] - old.shape[0]) // 2
    rows, columns = np.nonzero(mask > 0.5)
    ours = old[rows, columns]
    best = (np.inf, 0, 0)
    for down in range(y - reach, y + reach + 1):
        for right in range(x - reach, x + reach + 1):
            top, left = middle + down, middle + right
            if not (0 <= top <= new.shape[0] - size and 0 <= left <= new.shape[1] - size):
                continue
            theirs = new[rows + top, columns + left]
            cost = float(np.minimum(np.abs(theirs - ours), HIDDEN).mean()) + PULL * level * float(np.hypot(right, down))
            best = min(best, (cost, right, down))
    return best[1] * level, best[2] * level


def refine_place(old: Pixels, new: Pixels, mask: NDArray[np.bool_], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """Where the old crop is in the new one, [2] in pixels, by least squares (Gauss and Newton); the same if far off.

    Both are grey, uint8; the new one may have a margin on all sides. Only what is in the mask, of the old one's size,
    is compared, and what differs much is left out.
    """
    size, start, margin = old.shape[0], place, (new.shape[0] - old.shape[0]) // 2
    ours, theirs = (cv2.GaussianBlur(each.astype(np.float32), (0, 0), 1.0) for each in (old, new))
    for _ in range(STEPS):
        across = np.array([[1, 0, margin + place[0]], [0, 1, margin + place[1]]])
        now = cv2.warpAffine(
            theirs, across, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        left = ours - now
        inside = mask & (np.abs(left) < LOST)
        slopes = np.stack([each[inside] for each in (np.gradient(now, axis=1), np.gradient(now, axis=0))])
        normal = slopes @ slopes.T
        if not inside.any() or np.linalg.cond(normal) > WORST:
            return start
        place = place + np.linalg.solve(normal, slopes @ left[inside])
    return place if float(np.abs(place - start).max()) < ASTRAY else start
