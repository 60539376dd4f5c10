"""Where a face fades: turned away, hidden, coming and going; and where it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from functions.swap.moving.appearance import Appearance, inner_cells
from functions.swap.moving.flow import NO_MOTION
from functions.swap.moving.opacity import fade, measure_yaw
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.moving.values import COVER_SIDE
from local.demo_pack.geometry import keypoints, make_placement
from local.demo_pack.people import RESERVE, State, identity
from tests.unit.swap.face_fixtures import face_with, keypoints_at

SIZE = (400, 300)
FRONT = keypoints_at(200, 150, 1.0, 0.2)


def sight(number: int, *, hidden: bool = False, points: np.ndarray = FRONT, patch: int | None = 0) -> Sighting:
    differs = inner_cells() if hidden else np.zeros_like(inner_cells())
    return Sighting(number, points, face_with(points).box, 0.8, NO_MOTION, patch, differs)


def segment_of(sightings: Sequence[Sighting], *, starts: bool = True, ends: bool = True) -> Segment:
    appearance = Appearance(np.zeros((32, 32, 3), np.float32))
    return Segment(appearance, list(sightings), starts_shot=starts, ends_shot=ends)


def opacities(*segments: Segment) -> list[float]:
    return [round(opacity, 2) for _, opacity in fade(segments, *SIZE)]


def test_a_face_that_fills_its_shot_is_opaque_from_the_first_frame_to_the_last() -> None:
    assert opacities(segment_of([sight(n) for n in range(5)])) == [1] * 5


def test_a_face_that_comes_and_goes_fades_over_three_frames() -> None:
    segment = segment_of([sight(n) for n in range(8)], starts=False, ends=False)
    assert opacities(segment) == [0.25, 0.5, 0.75, 1, 1, 0.75, 0.5, 0.25]


def cover_left(share: float) -> np.ndarray:
    """Something that hides the left part of a crop."""
    cover = np.zeros((COVER_SIDE, COVER_SIDE), np.bool_)
    cover[:, : round(share * COVER_SIDE)] = True
    return cover


def test_a_face_that_goes_behind_something_and_comes_out_is_opaque_up_to_its_edge() -> None:
    covers = [0.7, 0.6, 0.3, 0.0, 0.0, 0.4, 0.65]
    sightings = [replace(sight(n), cover=cover_left(share), unclear=0.0) for n, share in enumerate(covers)]
    assert opacities(segment_of(sightings, starts=False, ends=False)) == [1] * 7


def test_a_face_of_which_nothing_is_left_is_transparent() -> None:
    covers = [0.0, 0.3, 0.5, 0.7, 0.9]
    sightings = [replace(sight(n), cover=cover_left(share), unclear=0.0) for n, share in enumerate(covers)]
    assert opacities(segment_of(sightings, ends=False)) == [1, 1, 1, 1, 0]


def test_a_face_that_the_frame_cuts_is_opaque_if_its_other_part_is_known() -> None:
    beyond = FRONT - np.array([206, 0], np.float32)
    cut = replace(sight(0, points=beyond), cover=cover_left(0.5), unclear=0.0)
    assert opacities(segment_of([cut])) == [0]
    assert opacities(segment_of([replace(cut, model=3)])) == [1]


def test_what_is_hidden_is_transparent_and_its_neighbours_are_half() -> None:
    segment = segment_of([sight(n, hidden=n in (4, 5)) for n in range(10)])
    assert opacities(segment) == [1, 1, 1, 0.5, 0, 0, 0.5, 1, 1, 1]


def test_a_face_that_flow_lost_is_transparent() -> None:
    assert opacities(segment_of([sight(n, patch=None if n == 2 else 0) for n in range(5)]))[2] == 0


def test_a_face_seen_for_a_moment_between_hidden_ones_stays_away() -> None:
    segment = segment_of([sight(n, hidden=3 <= n <= 7 and n != 5) for n in range(11)])
    assert opacities(segment)[3:8] == [0] * 5


def test_segments_of_one_person_that_meet_do_not_fade_between_them() -> None:
    first = segment_of([sight(n) for n in range(4)], ends=False)
    second = segment_of([sight(n) for n in range(4, 8)], starts=False)
    assert opacities(first, second) == [1] * 8


def test_a_cut_between_two_segments_keeps_a_fade_in_its_shot() -> None:
    first = segment_of([sight(n, hidden=n == 3) for n in range(4)])
    second = segment_of([sight(n) for n in range(4, 8)])
    assert opacities(first, second) == [1, 1, 0.5, 0, 1, 1, 1, 1]


def test_a_face_that_is_too_small_is_transparent() -> None:
    assert opacities(segment_of([sight(0, points=keypoints_at(200, 150, 0.1, 0.0))])) == [0]


@pytest.mark.parametrize("roll", [0.0, 0.8, 3.0])
def test_yaw_grows_as_a_head_turns_whatever_its_roll(roll: float) -> None:
    person, placement = identity(RESERVE.start + 24), make_placement(40, roll, 200, 150)
    yaws = [measure_yaw(keypoints(person, State(yaw=angle), placement)) for angle in (0, 0.4, -0.4, 0.8, 1.1)]
    assert yaws[0] < 0.02
    assert yaws[1] == pytest.approx(yaws[2], abs=0.02)
    assert yaws[0] < yaws[1] < yaws[3] < yaws[4]


def test_a_face_that_turns_away_fades() -> None:
    person, placement = identity(RESERVE.start + 24), make_placement(40, 0.1, 200, 150)
    turned = [keypoints(person, State(yaw=0.1 * n), placement) for n in range(14)]
    values = opacities(segment_of([sight(n, points=points) for n, points in enumerate(turned)]))
    assert values[:4] == [1] * 4
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.1
