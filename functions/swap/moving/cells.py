"""Square cells of an aligned crop, and which of them are in the face's oval."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.face.face_mask import oval_radius

Cells = NDArray[np.bool_]  # [N, N], over the aligned crop


@cache
def oval_cells(side: int, share: float) -> Cells:
    """The cells, of so many across, whose middles are in a share of the oval: bool [side, side]."""
    centres = (np.arange(side) + 0.5) * SWAPPER_SIZE / side - 0.5
    return np.asarray(oval_radius(centres[None, :], centres[:, None]) <= share)


def spread(cells: NDArray[Any], share: float) -> NDArray[Any]:
    """The same in a share of the oval, for values [N, N, ...]; beyond it, each cell is like the nearest in it."""
    return np.asarray(cells[_nearest_inside(cells.shape[0], share)])


@cache
def _nearest_inside(side: int, share: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """For each cell, the row and the column of the nearest one in a share of the oval."""
    inside = oval_cells(side, share)
    _, labels = cv2.distanceTransformWithLabels(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    rows, columns = np.nonzero(inside)
    places = np.zeros((int(labels.max()) + 1, 2), np.intp)
    places[labels[rows, columns]] = np.stack([rows, columns], 1)
    return places[labels, 0], places[labels, 1]
