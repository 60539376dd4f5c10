"""Keypoints over a whole track: the answer of a dense solver, gaps and detections that disagree."""

from __future__ import annotations

import numpy as np
import pytest

from functions.swap.moving import steady
from functions.swap.moving.steady import solve_track
from functions.swap.values import Floats

FRAMES = 12


def solve_densely(
    seen: Floats, scores: np.ndarray, turns: np.ndarray, shifts: np.ndarray, stiffness: np.ndarray
) -> Floats:
    """The same least squares as one dense system, solved by LAPACK."""
    count = len(seen)
    rows, right = [], []
    for at in range(count):
        row = np.zeros(count, complex)
        row[at] = np.sqrt(scores[at])
        rows.append(row)
        right.append(np.sqrt(scores[at]) * (seen[at] @ (1, 1j)))
        if at:
            row = np.zeros(count, complex)
            row[at], row[at - 1] = np.sqrt(stiffness[at]), -np.sqrt(stiffness[at]) * turns[at]
            rows.append(row)
            right.append(np.full(5, np.sqrt(stiffness[at]) * shifts[at]))
    points = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return np.stack([points.real, points.imag], 2).astype(np.float32)


def test_the_solution_is_that_of_a_dense_solver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "HUBER", 1e6)  # plain least squares
    random = np.random.default_rng(1)
    seen = random.uniform(0, 200, (FRAMES, 5, 2)).astype(np.float32)
    scores = random.uniform(0.3, 1, FRAMES)
    scores[[4, 5]] = 0
    turns = np.exp(1j * random.normal(0, 0.2, FRAMES)) * random.uniform(0.8, 1.2, FRAMES)
    shifts = random.normal(0, 20, FRAMES) + 1j * random.normal(0, 20, FRAMES)
    stiffness = random.uniform(1, 100, FRAMES)
    expected = solve_densely(seen, scores, turns, shifts, stiffness)
    np.testing.assert_allclose(solve_track(seen, scores, turns, shifts, stiffness), expected, atol=2e-3)


def test_one_wrong_detection_moves_nothing() -> None:
    still = np.tile(np.random.default_rng(2).uniform(0, 100, (5, 2)), (FRAMES, 1, 1)).astype(np.float32)
    noisy = still + np.random.default_rng(3).normal(0, 0.5, still.shape).astype(np.float32)
    wrong = noisy.copy()
    wrong[6] += 40
    unit, zero, stiff = np.ones(FRAMES, complex), np.zeros(FRAMES, complex), np.full(FRAMES, 80.0)
    points = solve_track(wrong, np.full(FRAMES, 0.8), unit, zero, stiff)
    assert np.abs(points - still).max() < 1.2


def test_frames_that_nobody_saw_lie_between_their_neighbours() -> None:
    line = np.arange(FRAMES, dtype=np.float32)[:, None, None] * 6 + np.zeros((FRAMES, 5, 2), np.float32)
    scores, stiffness = np.ones(FRAMES), np.zeros(FRAMES)
    scores[4:9] = 0
    seen = np.where(scores[:, None, None] > 0, line, np.float32(500))
    points = solve_track(seen, scores, np.ones(FRAMES, complex), np.zeros(FRAMES, complex), stiffness)
    np.testing.assert_allclose(points, line, atol=0.05)
