"""From frames to people, and back into frames: the demo pack's networks on drawn clips."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from functions.swap.face.detect import Detector
from functions.swap.moving.compose import Composer, PasteOptions, measure_face
from functions.swap.moving.people import MovingPeople, find_people
from functions.swap.moving.steady_color import average_colors
from functions.swap.moving.store import open_store
from functions.swap.moving.tracker import FaceFinder
from functions.swap.moving.values import Frame
from functions.swap.values import Floats
from layers.core.deadline import Deadline
from layers.engine.session import session
from local.demo_pack.people import State
from local.demo_pack.reference_pack import PACK
from tests.support.drawn_clips import Actor, Clip, NoisyDetector, Pose
from tests.unit.swap.face.drawn_swaps import load_pack

RUBY, IVY = 24, 29
SMALL = (320, 180)


Swap = tuple[Clip, MovingPeople, list[Frame]]  # with the frames after the swap


class DemoEmbedder:
    """The demo pack's embedder."""

    name = "insightface"

    def run(self, crops: Floats) -> Floats:
        network = load_pack().embedder
        return np.asarray(network.session.run(None, {network.input_name: crops})[0], np.float32)

    def close(self) -> None:
        pass


def analyse(frames: Iterator[Frame], detector: FaceFinder, folder: Path) -> Iterator[MovingPeople]:
    with open_store(folder) as store:
        yield find_people(frames, detector, DemoEmbedder, store, Deadline.after(600))


def people_of(clip: Clip, folder: Path) -> Iterator[MovingPeople]:
    detector = NoisyDetector(clip, 0.03)
    return analyse(detector.show(clip.frames()), detector, folder)


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(session((PACK / "detector.onnx").read_bytes(), 2), 512)


def test_somebody_who_leaves_and_comes_back_keeps_the_number(tmp_path: Path) -> None:
    def walk(n: int) -> Pose:
        return Pose(26, 110 - 16 * n if n < 12 else 110 - 16 * (40 - n), 80)

    clip = Clip([Actor(RUBY, walk), Actor(IVY, lambda n: Pose(28, 250, 90))], 41, SMALL)
    for people in people_of(clip, tmp_path):
        first, second = people.analysis.tracks
        assert (first.first, first.last, second.first, second.last) == (0, 40, 0, 40)
        assert len(people.analysis.times(first)) == 2
        assert len(second.frames) == 41
        opacity = {frame.number: frame.opacity for frame in first.frames}
        assert opacity[0] == opacity[40] == 1
        assert all(opacity.get(n, 0) == 0 for n in range(10, 30))


def test_a_frame_that_repeats_another_costs_nothing(tmp_path: Path) -> None:
    clip = Clip([Actor(RUBY, lambda n: Pose(28, 100 + 5 * n, 85))], 8, SMALL)
    detector = NoisyDetector(clip, 0.03)

    def repeat() -> Iterator[Frame]:
        for frame in clip.frames():
            yield frame
            yield Frame(frame.pixels, frame.seconds + 0.025, repeats=True)

    for people in analyse(detector.show(repeat()), detector, tmp_path):
        assert people.analysis.distinct == tuple(n for n in range(8) for _ in (0, 1))
        assert len(list(people.cut_crops([0]))) == 8
    assert detector.number == 7


def test_nothing_is_loaded_for_a_clip_without_faces(tmp_path: Path) -> None:
    clip = Clip([], 4, SMALL)

    def load() -> DemoEmbedder:
        raise AssertionError

    with open_store(tmp_path) as store:
        detector = NoisyDetector(clip, 0.03)
        people = find_people(detector.show(clip.frames()), detector, load, store, Deadline.after(600))
    assert people.analysis.tracks == ()
    assert len(people.analysis.seconds) == 4


def test_the_frame_of_a_still_gives_one_opaque_face(detector: Detector, tmp_path: Path) -> None:
    clip = Clip([Actor(RUBY, lambda _: Pose(28, 160, 85))], 1, SMALL)
    for people in analyse(clip.frames(), detector, tmp_path):
        (track,) = people.analysis.tracks
        assert [frame.opacity for frame in track.frames] == [1]


def bar(n: int) -> tuple[int, int, int, int] | None:
    """Something that passes before the left person."""
    return (20 + (n - 5) * 24, 0, 70 + (n - 5) * 24, 180) if 5 <= n < 11 else None


def pose_turning(n: int) -> Pose:
    """Somebody who looks away to a side."""
    return Pose(28, 235, 85, state=State(smile=0.4, yaw=round(min(n * 0.1, 1.2), 1)))


@pytest.fixture(scope="module")
def swap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Swap]:
    """Two people who are replaced: something passes before the left one, and the right one turns away."""
    clip = Clip([Actor(RUBY, lambda n: Pose(28, 90 + np.sin(n), 85)), Actor(IVY, pose_turning)], 16, SMALL, bar)
    for people in people_of(clip, tmp_path_factory.mktemp("patches")):
        crops = dict(people.cut_crops([0, 1]))
        results = {face: np.ascontiguousarray(255 - crop[::-1]) for face, crop in crops.items()}
        measured = {face: measure_face(people.analysis, face, results[face], crop) for face, crop in crops.items()}
        composer = Composer(people.analysis, [0, 1], PasteOptions(), average_colors(measured))
        frames = list(clip.frames())
        for number, frame in enumerate(frames):
            swapped = {face.track: crop for face, crop in results.items() if face.number == number}
            composer.paste_faces(frame.pixels, number, swapped)
        yield clip, people, frames


def measure_change(swap: Swap, number: int, actor: int, part: NDArray[np.bool_] | None = None) -> float:
    """The share of a face that another one was pasted over, of the part of the frame that is asked for."""
    clip, _, frames = swap
    truth = clip.truth(actor, number)
    assert truth is not None
    left, top, right, bottom = truth[0]
    rows, columns = np.mgrid[:180, :320]
    oval = np.hypot((columns - (left + right) / 2) / (right - left), (rows - (top + bottom) / 2) / (bottom - top)) < 0.4
    inside = oval if part is None else oval & part
    changed = np.abs(frames[number].pixels.astype(int) - clip.draw(number)).max(2) > 12
    return float(changed[inside].mean()) if inside.any() else 0.0


def split_at_bar(number: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The pixels of the bar, and those that are not of it, both a little away from its edges."""
    columns = np.tile(np.arange(320), (180, 1))
    box = bar(number)
    if box is None:
        return columns < 0, columns >= 0
    return (columns > box[0] + 2) & (columns < box[2] - 2), (columns < box[0] - 4) | (columns > box[2] + 4)


def test_the_chosen_faces_are_replaced_and_nothing_else_changes(swap: Swap) -> None:
    clip, people, frames = swap
    assert len(people.analysis.tracks) == 2
    for number in (0, 3, 15):
        changed = np.abs(frames[number].pixels.astype(int) - clip.draw(number)).max(2) > 0
        assert measure_change(swap, number, 0) > 0.8
        assert not changed[:, 145:180].any()


def test_the_old_face_is_never_seen_beside_what_hides_it_nor_that_painted_over(swap: Swap) -> None:
    partly = [n for n in range(16) if 0.05 < swap[0].hidden_share(0, n) < 0.75]
    assert len(partly) >= 3
    for number in range(16):
        hidden, beside = split_at_bar(number)
        assert measure_change(swap, number, 0, hidden) < 0.03, number
        if swap[0].hidden_share(0, number) < 0.75:
            assert measure_change(swap, number, 0, beside) > 0.7, number


def test_a_face_that_turns_away_is_between_the_old_and_the_new(swap: Swap) -> None:
    opacity = {frame.number: frame.opacity for frame in swap[1].analysis.tracks[1].frames}
    assert all(opacity[number] == 1 for number in range(4))
    fading = [number for number, share in opacity.items() if 0.1 < share < 0.9]
    assert len(fading) >= 2
    values = [opacity.get(number, 0.0) for number in range(16)]
    assert values == sorted(values, reverse=True)
    assert values[-1] < 0.3
