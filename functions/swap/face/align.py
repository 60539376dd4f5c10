"""Aligned crops: a face moved, turned and scaled to where the networks expect it."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.values import Face, Floats, RejectionReason
from layers.engine import crop_planes
from layers.media.picture import Pixels

Matrix = NDArray[np.float64]  # [2, 3], from the picture's pixels to the crop's

SWAPPER_SIZE = 128
EMBEDDER_SIZE = 112

# Where the five keypoints are in a crop of 112 pixels (insightface/utils/face_align.py, arcface_dst).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)

MIN_BOX = 16.0  # pixels, the shorter side
MIN_SQUARE = 44.0  # pixels, the side of the crop in the picture: eyes about 12 pixels apart
EYES = 35.2377  # pixels between the eyes of the template
MIN_EYES = EYES * MIN_SQUARE / SWAPPER_SIZE  # pixels in the picture
MAX_SQUARE = 16_000.0  # pixels; OpenCV warps no picture whose sides reach 32767
MIN_KEYPOINTS = 3  # of the five, within the frame


def alignment_matrix(keypoints: Floats, size: int) -> Matrix:
    """The similarity transform from keypoints [5, 2] to the template of a crop of 112 or 128 pixels, by least squares.

    The same as insightface's `estimate_norm` (Umeyama, 1991), which in the plane is a division of complex numbers:
    the crop of 128 contains that of 112 at the same scale, 8 pixels from the left. Coinciding keypoints give zeros.
    """
    points = [complex(x, y) for x, y in np.asarray(keypoints, np.float64).tolist()]
    target_mean, targets = _center_template(size)
    mean = sum(points) / len(points)
    centred = [point - mean for point in points]
    spread = sum(abs(point) ** 2 for point in centred)
    turn = sum(point.conjugate() * target for point, target in zip(centred, targets, strict=True))
    turn = turn / spread if spread else 0j
    shift = target_mean - turn * mean
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


@cache
def _center_template(size: int) -> tuple[complex, tuple[complex, ...]]:
    """The middle of the template of a crop of 112 or 128 pixels, and its keypoints from there."""
    points = [complex(x + (8 if size == SWAPPER_SIZE else 0), y) for x, y in TEMPLATE.tolist()]
    mean = sum(points) / len(points)
    return mean, tuple(point - mean for point in points)


def rejection_reason(face: Face, width: int, height: int) -> RejectionReason | None:
    """Why a face in a picture of that size in pixels cannot be replaced (too_small, cut_by_frame); None if it can.

    A face that is partly outside the frame can be replaced as long as three of its keypoints are inside.
    """
    x0, y0, x1, y1 = face.box
    if min(x1 - x0, y1 - y0) < MIN_BOX or not np.isfinite(face.keypoints).all():
        return "too_small"
    scale = float(np.hypot(*alignment_matrix(face.keypoints, SWAPPER_SIZE)[:, 0]))
    if scale == 0 or scale * MIN_SQUARE > SWAPPER_SIZE:
        return "too_small"
    xs, ys = face.keypoints[:, 0], face.keypoints[:, 1]
    inside = (xs >= 0) & (ys >= 0) & (xs <= width - 1) & (ys <= height - 1)
    if int(inside.sum()) < MIN_KEYPOINTS or scale * MAX_SQUARE < SWAPPER_SIZE:
        return "cut_by_frame"
    return None


def bounding_box(inverse: Matrix, size: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The box x0, y0, x1, y1 of the pixels that a crop touches, two more on each side, within the frame; may be empty.

    `inverse` maps the crop of `size` pixels to the picture.
    """
    corners = np.array([[-1, -1, 1], [size, -1, 1], [-1, size, 1], [size, size, 1]]) @ inverse.T
    low, high = np.floor(corners.min(0)) - 2, np.ceil(corners.max(0)) + 3
    x0, y0 = (int(value) for value in np.clip(low, 0, (width, height)))
    x1, y1 = (int(value) for value in np.clip(high, 0, (width, height)))
    return x0, y0, x1, y1


def invert(affine: Matrix) -> Matrix:
    """The inverse transform."""
    return np.asarray(cv2.invertAffineTransform(affine), np.float64)


def translate(affine: Matrix, x: float, y: float) -> Matrix:
    """The same transform for the part of a picture whose first pixel is at x, y."""
    shifted = affine.copy()
    shifted[:, 2] += affine[:, :2] @ (x, y)
    return shifted


def crop_face(picture: Pixels, keypoints: Floats, size: int, *, mirror_border: bool = False) -> tuple[Pixels, Matrix]:
    """The aligned crop, uint8 BGR [size, size, 3], black outside the frame, and the transform from the picture to it.

    The same as insightface's `norm_crop2`, but reads only the part of the picture that the crop touches. With
    `mirror_border`, the picture is mirrored at the frame instead, so that no network sees an edge there.
    """
    forward = alignment_matrix(keypoints, size)
    return crop_with(picture, forward, size, mirror_border=mirror_border), forward


def crop_with(picture: Pixels, forward: Matrix, size: int = SWAPPER_SIZE, *, mirror_border: bool = False) -> Pixels:
    """The crop to which a transform maps the picture, as `crop_face` takes it."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = bounding_box(invert(forward), size, width, height)
    part = picture[y0:y1, x0:x1]
    if not part.size:
        return np.zeros((size, size, 3), np.uint8)
    border = cv2.BORDER_REFLECT_101 if mirror_border else cv2.BORDER_CONSTANT
    warped = cv2.warpAffine(part, translate(forward, x0, y0), (size, size), borderMode=border, borderValue=0.0)
    return warped.astype(np.uint8, copy=False)


def to_planes(aligned: Pixels) -> Floats:
    """A crop in uint8 BGR [H, W, 3] as float32 [1, 3, H, W], RGB, 0 to 1: the swapper's input."""
    return crop_planes.to_planes(aligned[None])


def to_pixels(swapped: Floats) -> Pixels:
    """The first crop of the swapper's output as uint8 BGR [H, W, 3]; truncated, not rounded, as in INSwapper.get."""
    pixels: Pixels = crop_planes.to_pixels(swapped[:1])[0]
    return pixels
