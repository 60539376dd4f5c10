"""Which segments are one person's, and in which order people are numbered."""

from __future__ import annotations

import numpy as np
import pytest

from functions.swap.moving import identity
from functions.swap.moving.appearance import Appearance, inner_cells
from functions.swap.moving.flow import NO_MOTION
from functions.swap.moving.identity import BEST_FRAMES, choose_best, embed_crops, join_segments
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.values import Floats
from tests.unit.swap.face_fixtures import face_with, grainy_picture, keypoints_at


def sight(number: int, x: float, y: float = 100, score: float = 0.8, patch: int | None = 0) -> Sighting:
    points = keypoints_at(x, y, 0.6, 0.0)
    return Sighting(number, points, face_with(points).box, score, NO_MOTION, patch, np.zeros_like(inner_cells()))


def segment_of(*sightings: Sighting) -> Segment:
    return Segment(Appearance(np.zeros((32, 32, 3), np.float32)), list(sightings))


def unit(angle: float) -> Floats:
    return np.array([np.cos(angle), np.sin(angle)], np.float32)


def test_those_who_look_alike_are_one_person_unless_both_are_in_one_frame() -> None:
    early, late = segment_of(sight(0, 50), sight(1, 50)), segment_of(sight(5, 200))
    twin = segment_of(sight(0, 300))
    assert join_segments([early, late], [unit(0), unit(1.0)]) == [[0, 1]]
    assert join_segments([early, late], [unit(0), unit(1.2)]) == [[0], [1]]
    assert join_segments([early, twin], [unit(0), unit(0)]) == [[0], [1]]


def test_the_most_similar_are_joined_first() -> None:
    one, other = segment_of(sight(0, 50)), segment_of(sight(0, 200))
    later = segment_of(sight(9, 120))
    assert join_segments([one, other, later], [unit(0), unit(0.6), unit(0.5)]) == [[0], [1, 2]]


def test_three_of_one_person_are_joined_and_a_stranger_between_them_is_not() -> None:
    segments = [segment_of(sight(n, 50)) for n in (0, 3, 6, 9)]
    assert join_segments(segments, [unit(0), unit(2), unit(0.4), unit(0.2)]) == [[0, 2, 3], [1]]


def test_of_very_many_segments_the_longest_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "MOST_SEGMENTS", 2)
    short, long, longer = (
        segment_of(*(sight(at + n, 50) for n in range(count))) for at, count in ((0, 1), (5, 3), (9, 2))
    )
    assert identity.keep_longest([short, long, longer]) == [long, longer]


def test_people_are_numbered_by_first_appearance_then_in_rows_from_left_to_right() -> None:
    segments = [
        segment_of(sight(3, 10)),
        segment_of(sight(0, 300, 200)),
        segment_of(sight(0, 200)),
        segment_of(sight(0, 60)),
    ]
    assert join_segments(segments, [unit(at * 1.5) for at in range(4)]) == [[3], [2], [1], [0]]


def test_the_best_frames_are_those_detected_with_certainty() -> None:
    sightings = [sight(n, 50, score=score) for n, score in enumerate((0.5, 0.9, 0.0, 0.8, 0.7))]
    sightings.append(sight(5, 50, score=0.99, patch=None))
    best = choose_best(segment_of(*sightings))
    assert [sighting.number for sighting in best] == [1, 3, 4]
    assert len(best) == BEST_FRAMES


def test_the_embedder_sees_the_crop_that_it_would_be_given_of_a_still() -> None:
    from functions.swap.face.align import crop_face
    from functions.swap.face.embed import to_network_input

    picture, points = grainy_picture(300, 300), keypoints_at(150, 150, 1.3, 0.2)
    inputs: list[Floats] = []

    class Embedder:
        name = "fake"

        def run(self, crops: Floats) -> Floats:
            inputs.append(crops)
            return np.full((1, 512), 2, np.float32)

        def close(self) -> None:
            pass

    embedding = embed_crops([crop_face(picture, points, 128)[0]], Embedder())
    expected = to_network_input(crop_face(picture, points, 112)[0])
    assert np.abs(inputs[0] - expected).max() < 0.02
    assert np.linalg.norm(embedding) == np.float32(1)
