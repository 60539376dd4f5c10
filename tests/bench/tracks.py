"""How steady faces are in moving memes, beside a detector's raw keypoints and their moving average:

    python -m tests.bench.tracks [--repeats N] [--quick]

Drawn clips with known motion, and keypoints with the noise that a detector has in photographs, by the size of the face:
`rms`, how far the aligned crop is from where it should be, in its 128 pixels, over all frames, and `step`, the largest
from one frame to the next beyond the drawn motion. Each is the mean, or the largest, over people and motions. Then
`overhead`: the CPU time of a frame's tracks beyond the detector's one look, over that look's, at 480x270; and what
flickers of the swapped face's detail and skin: the mean change from frame to frame of the share of detail that is kept,
0 to 1, and of the shift of colour in CIELAB, with and without averages. Writes out/bench/tracks.json.
"""

from __future__ import annotations

import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import cv2
import numpy as np

from functions.swap.face.color_match import ColorStatistics, measure_color
from functions.swap.face.detail import find_change
from functions.swap.face.detect import Detector
from functions.swap.moving.segment import Segment
from functions.swap.moving.steady_color import average_colors
from functions.swap.moving.store import PatchStore
from functions.swap.moving.tracker import Tracker
from functions.swap.moving.values import FaceFrame, Frame
from functions.swap.values import Face, Floats
from layers.core.deadline import Deadline
from layers.engine.session import session
from layers.media.picture import Pixels
from local.demo_pack import memes
from local.demo_pack.people import State
from local.demo_pack.reference_pack import PACK, ReferencePack
from tests.bench import form
from tests.support.drawn_clips import (
    Actor,
    Clip,
    NoisyDetector,
    Pose,
    average_past,
    disturb,
    follow,
    measure_errors,
)

# The longer side of the face in pixels: half the drawn head, and the noise of keypoints in distances between the eyes.
FACES = {40: (18, 0.061), 80: (36, 0.026), 160: (72, 0.015)}
PEOPLE = (24, 29, 3, 30)
FRAMES = 60
LATER = 3600.0
Motion = Callable[[float, int], Pose]  # from half the head and the number of the frame


def sway(unit: float, n: int) -> Pose:
    """To and fro, with some roll."""
    return Pose(unit, 240 + 40 * math.sin(n / 6), 135 + 12 * math.sin(n / 4), 0.12 * math.sin(n / 7))


def dash(unit: float, n: int) -> Pose:
    """Still, then a fast move, then still."""
    return Pose(unit, 120 + min(max(n - 10, 0) * 30, 240), 135)


def near(unit: float, n: int) -> Pose:
    """Nearer to the camera and away again."""
    return Pose(unit * (1 + 0.25 * math.sin(n / 8)), 240, 135)


def nod(unit: float, n: int) -> Pose:
    """A head that turns by half a radian and talks."""
    yaw, opening = round(0.5 * math.sin(n / 9), 2), round(abs(math.sin(n / 3)), 1)
    return Pose(unit, 240, 135, 0.0, State(smile=0.3, yaw=yaw, opening=opening))


MOTIONS: dict[str, Motion] = {"sway": sway, "dash": dash, "near": near, "nod": nod}


def measure_tracks(people: Sequence[int], frames: int) -> dict[str, Any]:
    """The errors by motion, size and method."""
    report: dict[str, Any] = {}
    for motion, pose in MOTIONS.items():
        for face, (unit, noise) in FACES.items():
            rows: dict[str, list[tuple[float, float]]] = {"raw": [], "average": [], "ours": []}
            for person in people:
                clip = Clip([Actor(person, partial(pose, unit))], frames)
                for method, points in _follow_by_all(clip, noise).items():
                    truths = [truth[1] for n in range(frames) if (truth := clip.truth(0, n))]
                    errors = measure_errors(points, truths)
                    rows[method].append((errors.rms, errors.largest_step))
            report[f"{motion} {face}"] = {
                method: {
                    "rms": round(statistics.fmean(rms for rms, _ in values), 3),
                    "step": round(max(step for _, step in values), 3),
                }
                for method, values in rows.items()
            }
    return report


def _follow_by_all(clip: Clip, noise: float) -> dict[str, list[Floats]]:
    """The keypoints of a clip's only face in all frames, by method."""
    seen = [disturb(truth[1], noise, n) for n in range(clip.count) if (truth := clip.truth(0, n))]
    (segment,) = follow(clip, NoisyDetector(clip, noise))
    ours = [sighting.keypoints for sighting in segment.sightings]
    return {"raw": seen, "average": average_past(seen), "ours": ours}


class _Replay:
    """Says again what a detector said, frame after frame, in no time."""

    def __init__(self, answers: Sequence[list[Face]]) -> None:
        self._answers = iter(answers)

    def find(self, pixels: Pixels, deadline: Deadline) -> list[Face]:
        return next(self._answers)

    def find_again(self, pixels: Pixels, expected: Sequence[Face], deadline: Deadline) -> list[Face]:
        return next(self._answers)


def measure_overhead(repeats: int, frames: int) -> dict[str, float]:
    """Milliseconds of a frame, of one person at 480x270, for one look and for everything else; the least of all."""
    clip = Clip([Actor(PEOPLE[0], partial(sway, 36))], frames)
    pictures = list(clip.frames())
    detector = Detector(session((PACK / "detector.onnx").read_bytes(), 1), 512)
    deadline = Deadline.after(LATER)
    looks, rests = [], []
    for _ in range(repeats):
        expected = detector.find(pictures[0].pixels, deadline)
        answers, began = [], time.process_time()
        for frame in pictures:
            answers.append(detector.find_again(frame.pixels, expected, deadline))
        looks.append((time.process_time() - began) / frames)
        began = time.process_time()
        _track(pictures, answers, deadline)
        rests.append((time.process_time() - began) / frames)
    look, rest = 1000 * min(looks), 1000 * min(rests)
    return {"look_ms": round(look, 2), "tracks_ms": round(rest, 2), "overhead": round(rest / look, 3)}


def _track(frames: Sequence[Frame], answers: Sequence[list[Face]], deadline: Deadline) -> list[Segment]:
    with tempfile.TemporaryFile() as file:
        tracker = Tracker(_Replay(answers), PatchStore(file), deadline)
        for frame in frames:
            tracker.add(frame.pixels, frame.seconds)
        return tracker.finish()


def measure_flicker(frames: int) -> dict[str, float]:
    """How much detail and colours of a swapped face change from frame to frame, of a clip with grain."""
    pack = ReferencePack.load()
    portrait = memes._portrait(3, 3, "#9fd3c7")
    source = np.asarray(pack.faces(portrait, 384)[0].normed_embedding, np.float32)
    clip = Clip([Actor(PEOPLE[0], partial(sway, 60))], frames, noise=4.0)
    detector = NoisyDetector(clip, 0.02)
    weights, colors = [], {}
    with tempfile.TemporaryFile() as file:
        store = PatchStore(file)
        tracker = Tracker(detector, store, Deadline.after(LATER))
        for frame in detector.show(clip.frames()):
            tracker.add(frame.pixels, frame.seconds)
        (segment,) = tracker.finish()
        for sighting in segment.sightings:
            if sighting.patch is not None:
                crop = store.read(sighting.patch).crop(sighting.forward)
                swapped = pack.swap_crop(crop, source)
                weights.append(find_change(swapped, crop, crop).weight)
                inside = np.ones(crop.shape[:2], np.bool_)
                colors[FaceFrame(sighting.number, 0)] = measure_color(swapped, crop, inside)
    detail = float(np.abs(np.diff(weights, axis=0)).mean())
    alone, averaged = (_measure_steps(each) for each in (colors, average_colors(colors)))
    return {"detail": round(detail, 4), "colour": round(alone, 3), "colour_averaged": round(averaged, 3)}


def _measure_steps(colors: dict[FaceFrame, ColorStatistics]) -> float:
    shifts = [each.shift.vector for _, each in sorted(colors.items()) if each.shift is not None]
    return float(np.linalg.norm(np.diff(shifts, axis=0), axis=1).mean()) if len(shifts) > 1 else 0.0


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("tracks", __doc__, inputs=PACK, repeats=5, avx2=False) as options:
        cv2.setNumThreads(1)
        frames = 10 if options.quick else FRAMES
        report = {
            "tracks": measure_tracks(PEOPLE[:1] if options.quick else PEOPLE, frames),
            "cpu": measure_overhead(options.repeats, frames),
            "flicker": measure_flicker(frames),
        }
        text = json.dumps(report, indent=2)
        (options.out / "tracks.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
