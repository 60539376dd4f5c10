"""Tracks of drawn people with known motion, seen by a detector with the noise that photographs show."""

from __future__ import annotations

import numpy as np
import pytest

from functions.swap.moving.segment import Segment
from functions.swap.values import Floats
from local.demo_pack.people import State
from tests.support.drawn_clips import (
    SMILING,
    Actor,
    Clip,
    CropErrors,
    NoisyDetector,
    Pose,
    average_past,
    disturb,
    follow,
    measure_errors,
)

RUBY, IVY = 24, 29
SMALL = (320, 180)  # of frames in which little has to be measured

# By the longer side of the face: half the drawn head, and the noise of keypoints in distances between the eyes.
NOISE = {40: (18, 0.061), 80: (36, 0.026), 160: (72, 0.015)}


def wander(unit: float, middle: tuple[float, float]) -> Clip:
    """A head that sways and rolls."""

    def pose(n: int) -> Pose:
        x, y = middle
        return Pose(unit, x + 40 * np.sin(n / 6), y + 12 * np.sin(n / 4), 0.12 * np.sin(n / 7))

    return Clip([Actor(RUBY, pose)], 40, (480, 360) if unit > 40 else (480, 270))


def true_points(clip: Clip, segment: Segment, actor: int = 0) -> list[Floats]:
    truths = [clip.truth(actor, sighting.number) for sighting in segment.sightings]
    return [truth[1] for truth in truths if truth]


def errors_of(clip: Clip, segment: Segment, actor: int = 0) -> CropErrors:
    return measure_errors([sighting.keypoints for sighting in segment.sightings], true_points(clip, segment, actor))


@pytest.mark.parametrize("face", NOISE)
def test_keypoints_are_steady(face: int) -> None:
    unit, noise = NOISE[face]
    clip = wander(unit, (240, 130))
    (segment,) = follow(clip, NoisyDetector(clip, noise))
    truths = true_points(clip, segment)
    seen = [disturb(points, noise, number) for number, points in enumerate(truths)]
    raw, average = measure_errors(seen, truths), measure_errors(average_past(seen), truths)
    ours = errors_of(clip, segment)
    assert ours.rms < (0.3 if face > 40 else 0.5) < raw.rms < average.rms
    assert ours.largest_step < 0.4
    assert ours.largest_step < min(raw.largest_step, average.largest_step) / 3


def test_a_head_that_turns_and_talks_is_followed() -> None:
    def nod(n: int) -> Pose:
        state = State(yaw=round(0.5 * np.sin(n / 9), 2), opening=round(abs(np.sin(n / 3)), 1))
        return Pose(36, 160, 85, state=state)

    clip = Clip([Actor(RUBY, nod)], 30, SMALL)
    (segment,) = follow(clip, NoisyDetector(clip, 0.026))
    assert errors_of(clip, segment).rms < 0.8
    assert errors_of(clip, segment).largest_step < 1
    assert max(sighting.hidden for sighting in segment.sightings) < 0.2


def test_a_fast_move_is_not_lagged_behind() -> None:
    clip = Clip([Actor(RUBY, lambda n: Pose(30, 70 if n < 8 else min(70 + (n - 8) * 38, 400), 130))], 24)
    (segment,) = follow(clip, NoisyDetector(clip, 0.03))
    truths = true_points(clip, segment)
    lagging = measure_errors(average_past([disturb(points, 0.03, n) for n, points in enumerate(truths)]), truths)
    assert lagging.rms > 20
    assert errors_of(clip, segment).rms < 0.3
    assert errors_of(clip, segment).largest_step < 0.4


def test_one_look_is_enough_while_nothing_is_lost() -> None:
    clip = Clip([Actor(RUBY, lambda n: Pose(30, 100 + 4 * n, 80))], 16, SMALL)
    detector = NoisyDetector(clip, 0.03)
    follow(clip, detector)
    assert detector.whole_looks == 1


def test_frames_in_which_the_detector_sees_nothing_are_bridged_by_flow() -> None:
    clip = Clip([Actor(RUBY, lambda n: Pose(30, 80 + 5 * n, 80))], 24, SMALL)
    (segment,) = follow(clip, NoisyDetector(clip, 0.03, lambda _, n: 8 <= n < 16))
    assert [sighting.number for sighting in segment.sightings] == list(range(24))
    assert max(sighting.hidden for sighting in segment.sightings) < 0.1
    assert errors_of(clip, segment).rms < 0.4


def bar_from(start: int, end: int, step: int) -> Clip:
    """A bar of 60 pixels that passes before a face."""

    def cover(n: int) -> tuple[int, int, int, int] | None:
        return (90 + (n - start) * step, 0, 150 + (n - start) * step, 180) if start <= n < end else None

    return Clip([Actor(RUBY, lambda n: Pose(30, 160 + 2 * np.sin(n / 4), 85))], 44, SMALL, cover)


def test_a_face_that_is_covered_for_a_moment_stays_one_track() -> None:
    clip = bar_from(8, 15, 20)  # hides it for 0.2 to 0.3 seconds
    (segment,) = follow(clip, NoisyDetector(clip, 0.03))
    hidden = [n for n, sighting in enumerate(segment.sightings) if sighting.hidden > 0.4]
    assert hidden == list(range(hidden[0], hidden[-1] + 1))
    assert 3 <= len(hidden) <= 6
    assert all(clip.hidden_share(0, n) < 0.35 for n in range(44) if n not in hidden)
    clear = [n for n in range(44) if clip.hidden_share(0, n) == 0]
    truths = true_points(clip, segment)
    errors = measure_errors([segment.sightings[n].keypoints for n in clear], [truths[n] for n in clear])
    assert errors.rms < 0.4
    assert errors.largest_step < 0.6


def test_a_face_that_is_covered_for_long_begins_anew() -> None:
    clip = bar_from(8, 36, 5)
    before, after = follow(clip, NoisyDetector(clip, 0.03))
    assert before.starts_shot
    assert not before.ends_shot
    assert not after.starts_shot
    for segment in (before, after):
        truths = [truth[1] for each in segment.sightings if (truth := clip.truth(0, each.number))]
        assert measure_errors([each.keypoints for each in segment.sightings], truths).rms < 1


def run_behind(n: int) -> Pose:
    """A face that runs behind a bar of 80 pixels, stays there, and comes back, up and down meanwhile."""
    place = min(max(n - 4, 0), 6) if n < 20 else max(26 - n, 0)
    return Pose(28, 240 - 20 * place, 85 + 3 * np.sin(1.3 * n))


BEHIND = Clip([Actor(RUBY, run_behind)], 34, SMALL, lambda _: (80, 0, 160, 180))


def test_a_face_is_followed_behind_something_and_from_there() -> None:
    """A detector sees it where four tenths are hidden at most; a quarter is enough to follow it."""
    before, after = follow(BEHIND, NoisyDetector(BEHIND, 0.02))
    seen = {sighting.number for sighting in [*before.sightings, *after.sightings]}
    assert {n for n in range(34) if BEHIND.hidden_share(0, n) < 0.75} <= seen
    for segment in (before, after):
        alone = [each for each in segment.sightings if each.score == 0]
        assert alone
        truths = [truth[1] for each in alone if (truth := BEHIND.truth(0, each.number))]
        assert measure_errors([each.keypoints for each in alone], truths).rms < 1


def test_people_who_cross_stay_who_they_are() -> None:
    actors = [Actor(RUBY, lambda n: Pose(26, 50 + 6 * n, 80)), Actor(IVY, lambda n: Pose(28, 290 - 6 * n, 78))]
    clip = Clip(actors, 40, SMALL)
    segments = follow(clip, NoisyDetector(clip, 0.03))
    assert len(segments) == 2
    for actor, segment in enumerate(segments):
        clear = [sighting for sighting in segment.sightings if sighting.hidden < 0.2]
        truths = [truth[1] for sighting in clear if (truth := clip.truth(actor, sighting.number))]
        assert measure_errors([sighting.keypoints for sighting in clear], truths).rms < 0.6


def test_somebody_else_in_the_same_place_is_another_track() -> None:
    actors = [
        Actor(RUBY, lambda n: Pose(30, 160, 80) if n < 10 else None),
        Actor(IVY, lambda n: Pose(30, 162, 80) if n >= 10 else None),
    ]
    clip = Clip(actors, 20, SMALL)
    before, after = follow(clip, NoisyDetector(clip, 0.03))
    assert [sighting.number for sighting in before.sightings] == list(range(10))
    assert [sighting.number for sighting in after.sightings] == list(range(10, 20))
    assert before.ends_shot
    assert after.starts_shot


def test_a_cut_ends_all_tracks() -> None:
    bright = Clip([Actor(RUBY, lambda n: Pose(30, 160, 80))], 8, SMALL)
    detector = NoisyDetector(bright, 0.03)
    frames = list(bright.frames())
    for frame in frames[4:]:
        frame.pixels[:] = 255 - frame.pixels
    before, after = follow(bright, detector, frames)
    assert [len(segment.sightings) for segment in (before, after)] == [4, 4]
    assert before.ends_shot
    assert after.starts_shot
    assert detector.whole_looks == 2


def test_a_mistake_of_the_detector_is_no_track() -> None:
    clip = Clip([Actor(RUBY, lambda n: Pose(30, 160, 80) if n in (9, 10) else None)], 20, SMALL)
    assert follow(clip, NoisyDetector(clip, 0.03)) == []


@pytest.mark.parametrize("count", [1, 2])
def test_the_shortest_clips_have_tracks(count: int) -> None:
    clip = Clip([Actor(RUBY, lambda _: Pose(30, 160, 80, state=SMILING))], count, SMALL)
    (segment,) = follow(clip, NoisyDetector(clip, 0.03))
    assert len(segment.sightings) == count
