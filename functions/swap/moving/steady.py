"""Steady keypoints: a whole track solved at once, from where a detector saw the face and how optical flow moved it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from functions.swap.moving.values import Complex
from functions.swap.values import Floats

Weights = NDArray[np.float64]

LOOSE = 1e-4  # the weight of a step without flow, so that frames that nobody saw lie between their neighbours
ROUNDS = 3  # in which detections that disagree with the track lose weight (Huber's loss)
HUBER = 2.5  # medians of the distances, beyond which they do
AGREE = 1.0  # pixels, up to which nothing disagrees


def solve_track(seen: Floats, scores: Weights, turns: Complex, shifts: Complex, stiffness: Weights) -> Floats:
    """The keypoints of a track, float32 [N, 5, 2], which minimise, over all frames at once,

        sum of score_t |x_t - seen_t|^2 + stiffness_t |x_t - turn_t x_(t-1) - shift_t|^2.

    `seen`, float32 [N, 5, 2], is what the detector reported, whatever where `scores` [N] is 0; one score at least is
    more. `turns` and `shifts` [N] are the similarity, as complex numbers, that moved the face from the frame before,
    with the weight `stiffness` [N]; the first of each is not used. No frame is drawn behind its neighbours, as a
    filter that knows only the past would draw it.
    """
    stiffness = np.where(stiffness > 0, stiffness, LOOSE)
    turns = np.where(stiffness > LOOSE, turns, 1)
    shifts = np.where(stiffness > LOOSE, shifts, 0)
    stiffness[0] = 0
    target: Complex = np.asarray(seen.astype(np.float64) @ (1, 1j), np.complex128)
    target[scores <= 0] = 0
    weights = scores.astype(np.float64)
    for _ in range(ROUNDS):
        points = _solve(target, weights, turns, shifts, stiffness)
        distances = np.abs(points - target).mean(1)
        limit = max(HUBER * float(np.median(distances[scores > 0])), AGREE)
        weights = scores * np.minimum(1, limit / np.maximum(distances, 1e-9))
    return np.stack([points.real, points.imag], 2).astype(np.float32)


def _solve(target: Complex, scores: Weights, turns: Complex, shifts: Complex, stiffness: Weights) -> Complex:
    """Solve the normal equations, which are tridiagonal and Hermitian, by elimination: complex [N, 5].

    Row t has -stiffness_t turn_t before the diagonal, and the conjugate of the next row's behind it.
    """
    following = np.append(stiffness[1:], 0.0)
    after = np.append(turns[1:], 0.0)
    shift_after = np.append(shifts[1:], 0.0)
    diagonal = scores + stiffness + following * np.abs(after) ** 2
    before = -stiffness * turns
    right = scores[:, None] * target + (stiffness * shifts - following * np.conj(after) * shift_after)[:, None]
    pivots, rows = diagonal.copy(), np.array(right, np.complex128)
    for row in range(1, len(rows)):
        factor = before[row] / pivots[row - 1]
        pivots[row] -= (factor * np.conj(before[row])).real
        rows[row] -= factor * rows[row - 1]
    for row in range(len(rows) - 1, -1, -1):
        if row + 1 < len(rows):
            rows[row] -= np.conj(before[row + 1]) * rows[row + 1]
        rows[row] /= pivots[row]
    return rows
