"""CIELAB (CIE 1976, white D65) from and to sRGB (IEC 61966-2-1), for small pictures.

OpenCV's own conversion builds tables when first used, which takes longer than a cold start can spare.
"""

from __future__ import annotations

import cv2
import numpy as np

from functions.swap.values import Floats
from layers.media.picture import Pixels

_XYZ = np.array(  # from linear BGR, each row divided by the white point
    [
        [0.180423 / 0.950456, 0.357580 / 0.950456, 0.412453 / 0.950456],
        [0.072169, 0.715160, 0.212671],
        [0.950227 / 1.088754, 0.119193 / 1.088754, 0.019334 / 1.088754],
    ],
    np.float32,
)
_BGR = np.linalg.inv(_XYZ)
_LAB = np.array([[0, 116, 0, -16], [500, -500, 0, 0], [0, 200, -200, 0]], np.float32)  # from roots of XYZ
_KNEE = 6 / 29
_LEVELS = np.arange(256) / 255
_LINEAR = np.where(_LEVELS <= 0.04045, _LEVELS / 12.92, ((_LEVELS + 0.055) / 1.055) ** 2.4).astype(np.float32)


def bgr_to_lab(pixels: Pixels) -> Floats:
    """A picture in uint8 BGR as float32 [H, W, 3]: L 0 to 100, a and b about -100 to 100."""
    ratio = np.asarray(cv2.transform(cv2.LUT(pixels, _LINEAR), _XYZ), np.float32)
    # The cube root, and below the knee its tangent there: a choice between them for each pixel takes longer.
    below = np.minimum(ratio - np.float32(_KNEE**3), 0)
    root = np.cbrt(np.maximum(ratio, np.float32(_KNEE**3)))
    root += np.float32(1 / (3 * _KNEE**2)) * below
    return np.asarray(cv2.transform(root, _LAB), np.float32)


def lab_to_bgr(lab: Floats) -> Pixels:
    """A picture in float32 [H, W, 3] CIELAB as uint8 BGR; colours outside sRGB are clipped."""
    y = (lab[:, :, 0] + 16) / 116
    root = np.stack([y + lab[:, :, 1] / 500, y, y - lab[:, :, 2] / 200], 2)
    linear = np.clip(np.where(root > _KNEE, root**3, 3 * _KNEE**2 * (root - 4 / 29)) @ _BGR.T, 0, 1)
    levels = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.rint(255 * levels), np.uint8)
