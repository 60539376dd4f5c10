"""Colours that do not flicker: what neighbouring frames say about a face's skin and tint, averaged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from functions.swap.face.color_match import ColorStatistics
from functions.swap.face.skin_shift import SkinShift
from functions.swap.moving.values import FaceFrame
from functions.swap.values import Floats

WINDOW = 9  # frames


def average_colors(statistics: Mapping[FaceFrame, ColorStatistics]) -> dict[FaceFrame, ColorStatistics]:
    """The statistics of each face over the frames around it in which the same person is seen without a break.

    A frame without bare skin gets what the others have. A tint is one for the whole stretch, if most of its frames
    have one: a face does not change between grey and coloured.
    """
    averages: dict[FaceFrame, ColorStatistics] = {}
    for run in split_runs(statistics):
        tints = [statistics[key].tint for key in run]
        tinted = sum(tint is not None for tint in tints) * 2 > len(run)
        shifts = [statistics[key].shift for key in run]
        for at, key in enumerate(run):
            around = slice(max(at - WINDOW // 2, 0), at + WINDOW // 2 + 1)
            averages[key] = ColorStatistics(_average(shifts[around]), _nearest(tints, at) if tinted else None)
    return averages


def split_runs(keys: Iterable[FaceFrame]) -> list[list[FaceFrame]]:
    """The face-frames of each person in stretches of consecutive frames."""
    runs: list[list[FaceFrame]] = []
    for key in sorted(keys, key=lambda key: (key.track, key.number)):
        if runs and runs[-1][-1] == FaceFrame(key.number - 1, key.track):
            runs[-1].append(key)
        else:
            runs.append([key])
    return runs


def _average(shifts: list[SkinShift | None]) -> SkinShift | None:
    """The mean of those that there are."""
    measured = [shift for shift in shifts if shift is not None]
    if not measured:
        return None
    skin, vector = (np.mean([shift[part] for shift in measured], 0).astype(np.float32) for part in (0, 1))
    return SkinShift(skin, vector)


def _nearest(tints: list[Floats | None], at: int) -> Floats | None:
    """The tint of the nearest frame that has one."""
    return min(
        ((abs(other - at), other, tint) for other, tint in enumerate(tints) if tint is not None),
        default=(0, 0, None),
        key=lambda row: row[:2],
    )[2]
