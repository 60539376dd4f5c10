"""Colours that do not flicker."""

from __future__ import annotations

import numpy as np

from functions.swap.face.color_match import ColorStatistics, match_color, measure_color
from functions.swap.face.skin_shift import SkinShift
from functions.swap.moving.steady_color import WINDOW, average_colors
from functions.swap.moving.values import FaceFrame
from functions.swap.values import Floats
from tests.unit.swap.face_fixtures import grainy_picture

TINT = np.array([[10, 0, 0], [90, 0, 0]], np.float32)
INSIDE = np.ones((128, 128), bool)


def statistics_of(value: float | None, tint: Floats | None = None) -> ColorStatistics:
    vector = None if value is None else np.full(3, value, np.float32)
    return ColorStatistics(None if vector is None else SkinShift(vector + 50, vector), tint)


def test_a_shift_is_the_mean_of_the_frames_around_it() -> None:
    noise = np.random.default_rng(0).normal(0, 1, 40)
    averages = average_colors({FaceFrame(n, 0): statistics_of(value) for n, value in enumerate(noise)})
    shifts = [averages[FaceFrame(n, 0)].shift for n in range(40)]
    values = np.array([shift.vector[0] for shift in shifts if shift])
    np.testing.assert_allclose(values[20], noise[20 - WINDOW // 2 : 21 + WINDOW // 2].mean(), rtol=1e-5)
    assert np.abs(np.diff(values)).mean() < np.abs(np.diff(noise)).mean() / 4


def test_people_and_stretches_are_averaged_apart() -> None:
    values = {FaceFrame(0, 0): 1.0, FaceFrame(1, 0): 3.0, FaceFrame(5, 0): 9.0, FaceFrame(0, 1): 20.0}
    averages = average_colors({face: statistics_of(value) for face, value in values.items()})
    shifts = {face: average.shift for face, average in averages.items()}
    assert {face: float(shift.vector[0]) for face, shift in shifts.items() if shift} == {
        FaceFrame(0, 0): 2,
        FaceFrame(1, 0): 2,
        FaceFrame(5, 0): 9,
        FaceFrame(0, 1): 20,
    }


def test_a_frame_without_bare_skin_gets_what_its_neighbours_have() -> None:
    averages = average_colors({FaceFrame(n, 0): statistics_of(None if n == 1 else 4.0) for n in range(3)})
    shift = averages[FaceFrame(1, 0)].shift
    assert shift is not None
    assert shift.vector[0] == 4
    assert average_colors({FaceFrame(0, 0): statistics_of(None)})[FaceFrame(0, 0)].shift is None


def test_a_face_is_tinted_in_all_frames_of_a_stretch_or_in_none() -> None:
    mostly = {FaceFrame(n, 0): statistics_of(1.0, None if n == 2 else TINT) for n in range(5)}
    rarely = {FaceFrame(n, 1): statistics_of(1.0, TINT if n == 2 else None) for n in range(5)}
    averages = average_colors({**mostly, **rarely})
    assert all(averages[FaceFrame(n, 0)].tint is TINT for n in range(5))
    assert all(averages[FaceFrame(n, 1)].tint is None for n in range(5))


def test_a_face_matched_by_its_own_statistics_is_what_a_still_gets() -> None:
    crop = grainy_picture(128, 128)
    swapped = np.clip(crop * 0.8 + 10, 0, 255).astype(np.uint8)
    statistics = measure_color(swapped, crop, INSIDE)
    np.testing.assert_array_equal(match_color(swapped, crop, INSIDE, statistics), match_color(swapped, crop, INSIDE))
