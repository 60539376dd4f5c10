"""Optical flow of one face: by which similarity it moved from one frame to the next (Lucas and Kanade, pyramidal)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, alignment_matrix, invert, translate
from functions.swap.face.face_mask import OVAL
from functions.swap.moving.patch import Patch, cut_patch, enlarge
from functions.swap.values import Floats
from layers.media.picture import Pixels

SIDE = 96  # pixels of the aligned crop where flow is measured, at least
REACH = 1.4  # the part that is looked at, over the aligned crop
CORNERS = 40
CORNER_QUALITY = 0.01
CORNER_DISTANCE = 4.0  # pixels
OVAL_SHARE = 0.85  # of the face's oval in which corners are sought: hair and ground move otherwise
WINDOW, LEVELS = 17, 3
STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 20, 0.01)
CLOSED = 0.7  # pixels: there and back again, a corner comes home as near as that
MISFIT = 3.0  # times the corners' own variance: a head that turns is no similarity, and errs one way for many frames
RANSAC_DISTANCE = 1.0  # pixels
LEAST_CORNERS = 6
TURN = 0.1  # pixels of the aligned crop by which a turn moves its rim, from which it is measured once more
NOISE = 0.4  # pixels of the frame, for one corner: more than flow errs by in one step, as its errors add up


class Motion(NamedTuple):
    """How a face moved: a point x of the plane, as a complex number, went to turn * x + shift."""

    turn: complex
    shift: complex
    stiffness: float  # the inverse of its variance, in pixels of the frame
    share: float  # of the corners that moved so, 0 to 1

    def move(self, keypoints: Floats) -> Floats:
        """Where these keypoints [5, 2] went, float32 [5, 2]."""
        points = keypoints.astype(np.float64) @ (1, 1j) * self.turn + self.shift
        return np.stack([points.real, points.imag], 1).astype(np.float32)


NO_MOTION = Motion(1 + 0j, 0j, 0.0, 0.0)


def measure_motion(
    before: Pixels, after: Pixels, keypoints: Floats, shift: Floats, clear: NDArray[np.bool_] | None = None
) -> Motion:
    """The motion of a face with these keypoints [5, 2] between two grey frames, uint8 [H, W]; NO_MOTION if unseen.

    `shift` [2], in pixels, is about how far it went. `clear`, bool [N, N] over the aligned crop, is where nothing
    hides the face; None: everywhere.
    """
    forward = alignment_matrix(keypoints, SWAPPER_SIZE)
    if not forward[:, :2].any():
        return NO_MOTION
    old, new = _cut(before, forward), _cut(after, translate(forward, *-shift))
    if old is None or new is None:
        return NO_MOTION
    corners = _find_corners(old, forward, clear)
    if len(corners) < LEAST_CORNERS:
        return NO_MOTION
    guess = new.map_points(old.map_back(corners) + shift)
    moved, follows = _follow(old.pixels, new.pixels, corners, guess)
    motion = _fit(old.map_back(corners[follows]), new.map_back(moved[follows]), old.pitch, len(corners))
    if motion.stiffness and abs(motion.turn - 1) * SWAPPER_SIZE / 2 > TURN:
        return _refine(old, new, corners[follows], motion, len(corners))
    return motion


def _refine(old: Patch, new: Patch, corners: Floats, motion: Motion, count: int) -> Motion:
    """The motion measured once more, in the new frame turned back by it; of `count` corners that there were.

    Flow finds how a window's edges moved, which are not always in its middle, so it sees too small a turn.
    """
    turn = np.array([[motion.turn.real, -motion.turn.imag], [motion.turn.imag, motion.turn.real]])
    frame_shift = turn @ old.map_back(np.zeros(2)) + (motion.shift.real, motion.shift.imag)
    across = np.hstack([turn, new.map_points(frame_shift)[:, None]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(new.pixels, across, old.pixels.shape[::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    moved, follows = _follow(old.pixels, np.asarray(turned, np.uint8), corners, corners)
    there = old.map_back(moved[follows]) @ turn.T + (motion.shift.real, motion.shift.imag)
    return _fit(old.map_back(corners[follows]), there, old.pitch, count)


def _cut(grey: Pixels, forward: Matrix) -> Patch | None:
    """The part of a frame around a face; a small face is enlarged, as the window would mostly show its surroundings."""
    patch = cut_patch(grey, forward, REACH, SIDE, pad=True)
    factor = math.ceil(SIDE * float(np.hypot(*forward[:, 0])) / SWAPPER_SIZE)
    return enlarge(patch, factor) if patch is not None and factor > 1 else patch


def _find_corners(patch: Patch, forward: Matrix, clear: NDArray[np.bool_] | None) -> Floats:
    """What flow can follow in the face, float32 [N, 2], in the patch's pixels."""
    x, y, half_width, half_height = OVAL
    inside = np.zeros((SWAPPER_SIZE, SWAPPER_SIZE), np.uint8)
    axes = (round(half_width * OVAL_SHARE), round(half_height * OVAL_SHARE))
    cv2.ellipse(inside, (round(x), round(y)), axes, 0, 0, 360, (255.0,), cv2.FILLED)
    if clear is not None:
        inside[cv2.resize(clear.astype(np.uint8), inside.shape, interpolation=cv2.INTER_NEAREST) == 0] = 0
    to_patch = invert(patch.map_transform(forward))
    mask = cv2.warpAffine(inside, to_patch, patch.pixels.shape[::-1], flags=cv2.INTER_NEAREST)
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        return np.zeros((0, 2), np.float32)
    part = np.s_[top : top + height, left : left + width]
    corners: Any = cv2.goodFeaturesToTrack(
        np.ascontiguousarray(patch.pixels[part]), CORNERS, CORNER_QUALITY, CORNER_DISTANCE, mask=mask[part].copy()
    )
    if corners is None:
        return np.zeros((0, 2), np.float32)
    return np.asarray(corners.reshape(-1, 2) + np.array([left, top]), np.float32)


def _follow(old: Pixels, new: Pixels, corners: Floats, guess: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """Where the corners went, float32 [N, 2], and which of them come home on the way back, bool [N]."""
    options: dict[str, Any] = {
        "winSize": (WINDOW, WINDOW),
        "maxLevel": LEVELS - 1,
        "criteria": STOP,
        "flags": cv2.OPTFLOW_USE_INITIAL_FLOW,
    }
    moved, there, _ = cv2.calcOpticalFlowPyrLK(old, new, corners, guess.copy(), **options)
    home, back, _ = cv2.calcOpticalFlowPyrLK(new, old, moved, corners.copy(), **options)
    near = np.linalg.norm(home - corners, axis=1) < CLOSED
    return np.asarray(moved, np.float32), np.asarray((there.ravel() > 0) & (back.ravel() > 0) & near)


def _fit(old: NDArray[np.float64], new: NDArray[np.float64], pitch: float, corners: int) -> Motion:
    """The similarity that most corners follow; of `corners` that there were. NO_MOTION if too few do."""
    if len(old) < LEAST_CORNERS:
        return NO_MOTION
    matrix: Any
    matrix, inliers = cv2.estimateAffinePartial2D(
        old, new, method=cv2.RANSAC, ransacReprojThreshold=RANSAC_DISTANCE * pitch, confidence=0.99, refineIters=5
    )
    if matrix is None:
        return NO_MOTION
    inside = inliers.ravel() > 0
    count = int(inside.sum())
    turn, shift = complex(matrix[0, 0], matrix[1, 0]), complex(matrix[0, 2], matrix[1, 2])
    if count < LEAST_CORNERS or not 0.5 < abs(turn) < 2:
        return NO_MOTION
    left = old[inside] @ (1, 1j) * turn + shift - new[inside] @ (1, 1j)
    bending = MISFIT * float(np.square(np.abs(left)).mean())
    return Motion(turn, shift, 1 / ((NOISE * max(pitch, 1.0)) ** 2 / count + bending), count / corners)
