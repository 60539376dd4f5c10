"""Drawn clips with known motion: people of the demo pack who move, and what a detector would say of them."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, alignment_matrix
from functions.swap.moving.segment import Segment
from functions.swap.moving.store import PatchStore
from functions.swap.moving.tracker import Tracker
from functions.swap.moving.values import Frame
from functions.swap.values import Box, Face, Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels
from local.demo_pack import drawing
from local.demo_pack.geometry import face_box, keypoints, make_placement
from local.demo_pack.people import RESERVE, State, identity, sample_carrier
from local.demo_pack.sprites import paint_person

FPS = 20.0
SMILING = State(smile=0.4)
COMMON, OWN = 0.65, 0.28  # shares of the noise of keypoints, for each axis


@dataclass(frozen=True)
class Pose:
    """Where a head is: half its width is about 0.9 `unit` pixels, rolled clockwise by radians, at x, y."""

    unit: float
    x: float
    y: float
    roll: float = 0.0
    state: State = SMILING

    @property
    def placement(self) -> Floats:
        """The matrix that draws it."""
        return make_placement(self.unit, self.roll, self.x, self.y)


@dataclass(frozen=True)
class Actor:
    """A person of the reserve who moves; None while away. Later actors are in front."""

    number: int
    pose: Callable[[int], Pose | None]


Cover = Callable[[int], tuple[int, int, int, int] | None]  # the box x0, y0, x1, y1 of a bar in front of all


@dataclass(frozen=True)
class Clip:
    """A drawn clip of so many frames, of `size` (width, height)."""

    actors: Sequence[Actor]
    count: int
    size: tuple[int, int] = (480, 270)
    cover: Cover = lambda _: None
    noise: float = 2.0  # levels, of each frame's own grain
    background: int = 5

    def truth(self, actor: int, number: int) -> tuple[Floats, Floats] | None:
        """The box [4] and keypoints [5, 2] of an actor in a frame; None while away."""
        pose = self.actors[actor].pose(number)
        if pose is None:
            return None
        person = identity(RESERVE.start + self.actors[actor].number)
        carrier = sample_carrier(np.random.default_rng(self.actors[actor].number), person)
        return face_box(carrier, pose.state, pose.placement), keypoints(person, pose.state, pose.placement)

    def hidden_share(self, actor: int, number: int) -> float:
        """The share of an actor's box that the bar, the frame's edge, or the box of somebody in front hides."""
        truth = self.truth(actor, number)
        if truth is None:
            return 0.0
        others = [self.truth(other, number) for other in range(actor + 1, len(self.actors))]
        boxes = [_to_box(other[0]) for other in others if other]
        bar = self.cover(number)
        x0, y0, x1, y1 = _to_box(truth[0])
        shares = [
            max(min(x1, box[2]) - max(x0, box[0]), 0) * max(min(y1, box[3]) - max(y0, box[1]), 0)
            for box in [*boxes, *([bar] if bar else [])]
        ]
        width, height = self.size
        inside = (max(min(x1, width) - max(x0, 0), 0)) * max(min(y1, height) - max(y0, 0), 0)
        area = float((x1 - x0) * (y1 - y0))
        return max(1 - inside / area, float(max(shares, default=0.0)) / area)

    def draw(self, number: int) -> Pixels:
        """A frame, uint8 BGR [H, W, 3]."""
        width, height = self.size
        picture = _draw_background(self.background, width, height).copy()
        for actor in self.actors:
            pose = actor.pose(number)
            if pose is not None:
                place = {"unit": pose.unit, "x": pose.x, "y": pose.y, "roll": pose.roll}
                paint_person(picture, actor.number, pose.state, **place)
        box = self.cover(number)
        if box is not None:
            cv2.rectangle(picture, box[:2], box[2:], (60, 90, 70), cv2.FILLED)
        grain = np.roll(_draw_grain(width, height, self.noise), (37 * number, 101 * number), (0, 1))
        return np.asarray(cv2.add(picture, grain, dtype=cv2.CV_8U), np.uint8)

    def frames(self) -> Iterator[Frame]:
        """All frames, at FPS."""
        for number in range(self.count):
            yield Frame(self.draw(number), number / FPS)


def _to_box(values: Floats) -> Box:
    x0, y0, x1, y1 = (float(value) for value in values)
    return x0, y0, x1, y1


@cache
def _draw_background(seed: int, width: int, height: int) -> Pixels:
    return drawing.background(State(background=seed), height, width)


@cache
def _draw_grain(width: int, height: int, noise: float) -> NDArray[np.int16]:
    return np.rint(np.random.default_rng(0).normal(0, noise, (height, width, 3))).astype(np.int16)


@dataclass
class NoisyDetector:
    """Sees the actors of a clip as a detector of photographs does: each keypoint somewhat beside the drawn one.

    It is asked for the frames in order, in one look each, and sometimes in all looks for the same frame.
    """

    clip: Clip
    noise: float  # root mean square, in distances between the eyes
    misses: Callable[[int, int], bool] = lambda actor, number: False  # an actor in a frame, who is not hidden
    number: int = -1
    whole_looks: int = 0

    def find(self, pixels: Pixels, deadline: object) -> list[Face]:
        """All looks at a frame."""
        self.whole_looks += 1
        return self._report()

    def find_again(self, pixels: Pixels, expected: Sequence[Face], deadline: object) -> list[Face]:
        """One look at a frame."""
        return self._report()

    def show(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames, while the detector knows which of them is shown."""
        for frame in frames:
            self.number += not frame.repeats
            yield frame

    def _report(self) -> list[Face]:
        faces: list[Face] = []
        for actor in range(len(self.clip.actors)):
            truth = self.clip.truth(actor, self.number)
            if truth is None or self.misses(actor, self.number) or self.clip.hidden_share(actor, self.number) > 0.4:
                continue
            points = disturb(truth[1], self.noise, seed=1000 * actor + self.number)
            box = truth[0] + np.random.default_rng(self.number).normal(0, self.noise, 4) * 10
            faces.append(Face(len(faces), _to_box(box.astype(np.float32)), points, 0.8))
        return faces


def disturb(points: Floats, noise: float, seed: int) -> Floats:
    """Keypoints with a detector's noise, in distances between the eyes; the same for the same seed.

    Most of it moves all five together, as a detector's grid does: measured on photographs, keypoints off by 0.026
    distances between the eyes, root mean square, move the aligned crop by 1.1 of its pixels.
    """
    eyes = float(np.linalg.norm(points[1] - points[0]))
    random = np.random.default_rng(seed)
    together, alone = random.normal(0, COMMON, (1, 2)), random.normal(0, OWN, (5, 2))
    return (points + noise * eyes * (together + alone)).astype(np.float32)


@dataclass(frozen=True)
class CropErrors:
    """How far keypoints move what the aligned crop shows from where true ones put it, in its pixels."""

    rms: float  # over the crop and all frames
    largest_step: float  # root mean square over the crop, from one frame to the next, beyond the true motion


def measure_errors(points: Sequence[Floats], truths: Sequence[Floats]) -> CropErrors:
    """The errors of a track, keypoints [5, 2] for each frame."""
    errors = np.stack([_displace(five, truth) for five, truth in zip(points, truths, strict=True)])
    steps = [_rms(step) for step in np.diff(errors, axis=0)]
    return CropErrors(float(np.sqrt(np.mean([_rms(error) ** 2 for error in errors]))), max(steps, default=0.0))


def _displace(points: Floats, truth: Floats) -> NDArray[np.float64]:
    """Where the crop's corners go instead of staying, float64 [4, 2]."""
    corners = np.array([[0, 0, 1], [128, 0, 1], [0, 128, 1], [128, 128, 1]], float)
    ours, theirs = (np.vstack([alignment_matrix(each, SWAPPER_SIZE), (0, 0, 1)]) for each in (points, truth))
    return np.asarray((corners @ (ours @ np.linalg.inv(theirs)).T - corners)[:, :2])


def _rms(corners: NDArray[np.float64]) -> float:
    """The root mean square over the whole square of a similarity's displacement, by that of its corners [4, 2]."""
    middle = corners.mean(0)
    return float(np.sqrt(np.square(middle).sum() + np.square(corners - middle).sum(1).mean() / 3))


def average_past(seen: Sequence[Floats], weight: float = 0.45) -> list[Floats]:
    """The moving average that the field takes: the new keypoints with that weight, and the last average."""
    averages = [seen[0]]
    for five in seen[1:]:
        averages.append(np.asarray(weight * five + (1 - weight) * averages[-1], np.float32))
    return averages


def follow(clip: Clip, detector: NoisyDetector, frames: Iterable[Frame] | None = None) -> list[Segment]:
    """The segments of all faces of a clip, or of other frames with the same faces."""
    with tempfile.TemporaryFile() as file:
        tracker = Tracker(detector, PatchStore(file), Deadline.after(600))
        for frame in detector.show(frames or clip.frames()):
            tracker.add(frame.pixels, frame.seconds)
        return tracker.finish()
