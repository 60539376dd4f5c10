"""Where a picture cuts, and where it only moves."""

from __future__ import annotations

import numpy as np

from functions.swap.moving.cuts import CutDetector
from layers.media.picture import Pixels


def level(value: int) -> Pixels:
    return np.full((90, 160), value, np.uint8)


def test_a_cut_is_a_difference_that_stands_out() -> None:
    cuts = CutDetector()
    assert [cuts.is_cut(level(value)) for value in (50, 52, 51, 120, 121)] == [False, False, False, True, False]


def test_a_wild_picture_does_not_cut_in_every_frame() -> None:
    cuts = CutDetector()
    answers = [cuts.is_cut(level(value)) for value in (40, 40, 60, 40, 60, 95, 60, 95, 60, 95)]
    assert not any(answers)


def test_a_short_shot_ends_with_a_cut_too() -> None:
    cuts = CutDetector()
    assert [cuts.is_cut(level(value)) for value in (50, 150, 50)] == [False, True, True]
