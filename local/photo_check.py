"""Tells photographs from drawings, so that the demo can say at once that its small models only work on drawings."""

from __future__ import annotations

from pathlib import Path

import numpy as np

LONGEST_SIDE = 640  # pixels, to which larger pictures are shrunk first
SMOOTH = 2  # a pixel is smooth where the Laplacian is no more than this
# Photographs of people in scikit-image and insightface have at most 0.37, the demo's drawings at least 0.54.
SMOOTH_SHARE = 0.45


def looks_photographed(path: Path) -> bool:
    """Whether the picture has the grain of a photograph; a file that cannot be read has none."""
    import cv2

    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        return False
    scale = LONGEST_SIDE / max(grey.shape)
    if scale < 1:
        grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return float((np.abs(cv2.Laplacian(grey, cv2.CV_16S)) <= SMOOTH).mean()) < SMOOTH_SHARE
