"""What hides a face, as a soft mask over the aligned crop and over the frame."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, invert
from functions.swap.values import Floats
from layers.media.picture import Pixels

EDGE = 1.0  # standard deviation, in cells, over which the face begins


def soften(cover: NDArray[np.bool_]) -> Floats:
    """How much of the crop shows the face, float32 [128, 128], 0 to 1, for bool [N, N] of what hides it."""
    shown = cv2.GaussianBlur((~cover).astype(np.float32), (0, 0), EDGE)
    shown = np.clip(2 * shown - 1, 0, 1)  # nothing over the cover itself
    return np.asarray(cv2.resize(shown, (SWAPPER_SIZE, SWAPPER_SIZE), interpolation=cv2.INTER_LINEAR), np.float32)


def mix_crops(crop: Pixels, other: Pixels, shown: Floats) -> Pixels:
    """The crop where the face is shown, and the other one elsewhere, uint8 BGR [128, 128, 3]."""
    share = shown[:, :, None]
    return np.asarray(np.rint(crop * share + other * (1 - share)), np.uint8)


def warp_shown(shown: Floats, forward: Matrix, box: tuple[int, int, int, int]) -> Floats:
    """How much of a box x0, y0, x1, y1 of the frame shows the face, float32 [H, W]."""
    x0, y0, x1, y1 = box
    local = invert(forward)
    local[:, 2] -= (x0, y0)
    warped = cv2.warpAffine(shown, local, (x1 - x0, y1 - y0), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(warped, np.float32)
