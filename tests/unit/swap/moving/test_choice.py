"""Who of a moving meme must not be replaced: by the whole track, and by one look at each two seconds."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.moving.choice import find_denied, sample
from functions.swap.moving.values import Analysis, FaceFrame, Track, TrackFrame
from functions.swap.values import Floats
from tests.unit.swap.face_fixtures import keypoints_at

FPS, SECONDS = 4, 7
KNOWN = np.eye(512, dtype=np.float32)[0]


def frame(number: int, score: float, opacity: float = 1.0) -> TrackFrame:
    return TrackFrame(number, keypoints_at(50, 50, 0.5, 0), (20.0, 20.0, 80.0, 80.0), score, opacity)


def people(scores: list[float], opacity: float = 1.0) -> Any:
    """One person who is seen with these scores; a crop's first pixel is the number of its frame."""
    frames = tuple(frame(number, score, opacity) for number, score in enumerate(scores))
    track = Track(0, frames, 0, np.eye(512, dtype=np.float32)[1])
    numbers = range(len(scores))
    analysis = Analysis(100, 100, tuple(numbers), tuple(number / FPS for number in numbers), (track,))

    def cut_crop(key: FaceFrame) -> Any:
        return np.full((SWAPPER_SIZE, SWAPPER_SIZE, 3), key.number, np.uint8)

    return SimpleNamespace(analysis=analysis, cut_crop=cut_crop)


class Embedder:
    """Sees somebody on the list in one frame, and a stranger in all others."""

    name = "fake"

    def __init__(self, number: int) -> None:
        self.number, self.seen = number, set[int]()

    def run(self, crops: Any) -> Any:
        number = round(float(crops[0, 0, 0, 0]) * 127.5 + 127.5)
        self.seen.add(number)
        return np.eye(512, dtype=np.float32)[[0 if number == self.number else 1]]

    def close(self) -> None:
        pass


class Matcher:
    def matches(self, embedding: Floats) -> bool:
        return bool(embedding @ KNOWN > 0.5)


def deny(world: Any, embedder: Embedder) -> list[int]:
    chosen = [track.portrait for track in world.analysis.tracks]
    return [face.index for face in find_denied(world, chosen, cast(Any, Matcher()), embedder, lambda: None)]


def test_of_each_two_seconds_the_frame_with_the_best_score_is_looked_at() -> None:
    scores = [0.5] * (FPS * SECONDS)
    for number in (3, 10, 17, 27):
        scores[number] = 0.9
    world = people(scores)

    assert [key.number for key in sample(world.analysis, world.analysis.tracks[0])] == [3, 10, 17, 27]


@pytest.mark.parametrize(("number", "denied"), [(10, [0]), (11, [])])
def test_who_is_recognised_in_one_of_those_frames_is_denied_in_all(number: int, denied: list[int]) -> None:
    scores = [0.5] * (FPS * SECONDS)
    scores[10] = 0.9

    assert deny(people(scores), Embedder(number)) == denied


def test_what_is_not_shown_is_not_looked_at() -> None:
    embedder = Embedder(0)

    assert deny(people([0.9] * 8, opacity=0.0), embedder) == []
    assert embedder.seen == set()
