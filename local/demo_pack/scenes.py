"""Scenes that train and test the detector: several people, clutter and text, with boxes and keypoints. uint8 BGR."""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from local.demo_pack.canvas import Bytes, Floats, vector
from local.demo_pack.drawing import SKIN, background, paste
from local.demo_pack.geometry import face_box, keypoints, make_placement
from local.demo_pack.people import Carrier, State, clean, identity, sample_carrier, sample_state

FONTS = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_TRIPLEX)
WORDS = (
    "WHEN",
    "YOU",
    "NOBODY",
    "MONDAY",
    "LOL",
    "THE CAT",
    "BUG",
    "DEPLOY",
    "FRIDAY",
    "WOW",
    "CODE",
    "8:00",
    ":O",
    "?!",
)
LARGEST = 0.40
"""Half the width of the largest face, as a share of the picture's shorter side."""
SMALLEST = 7.0
"""Half the width of the smallest face in pixels."""


@dataclass(frozen=True)
class TrainingScene:
    """A picture [H, W, 3], its faces' boxes float32 [n, 4] (x0, y0, x1, y1) and keypoints float32 [n, 5, 2], in
    pixels."""

    picture: Bytes
    boxes: Floats
    keypoints: Floats


def draw_scene(seed: int, pool: range, size: int = 320, most: int = 5) -> TrainingScene:
    """Draw a square scene of up to `most` faces, with clutter, meme text, softness and grain.

    A person who would hide a face already there is left out, so every label can be seen. Some people lie on their
    side: they carry no label, since a detector with upright anchors cannot align them (a caller turns the picture and
    tries again).
    """
    rng = np.random.default_rng([4, seed])
    picture = background(sample_state(rng), size, size)
    _clutter(picture, rng)
    boxes: list[Floats] = []
    points: list[Floats] = []
    occupied: list[Floats] = []
    count = 1 if rng.random() < 0.35 else int(rng.integers(0, most + 1))
    for _ in range(count):
        person = identity(int(rng.integers(pool.start, pool.stop)))
        carrier, state = sample_carrier(rng, person), clean(sample_state(rng))
        lying = rng.random() < 0.06
        spot = _free_spot(carrier, state, occupied, size, lying, rng)
        if spot is None:
            continue
        attempt = picture.copy()
        paste(attempt, person, carrier, state, spot)
        if any(_hidden_share(picture, attempt, box) > 0.12 for box in boxes):
            continue
        picture = attempt
        occupied.append(face_box(carrier, state, spot))
        if not lying:
            boxes.append(occupied[-1])
            points.append(keypoints(person, state, spot))
    if rng.random() < 0.5:
        _random_text(picture, rng)
    if rng.random() < 0.25:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.9)), np.uint8)
    if rng.random() < 0.35:
        picture = np.clip(picture + rng.normal(0, rng.uniform(0, 7), picture.shape), 0, 255).astype(np.uint8)
    return TrainingScene(
        picture,
        np.clip(np.array(boxes, np.float32).reshape(-1, 4), 0, size),
        np.array(points, np.float32).reshape(-1, 5, 2),
    )


def _clutter(picture: Bytes, rng: np.random.Generator) -> None:
    size = len(picture)
    for _ in range(rng.integers(0, 14)):
        bgr = rng.uniform(0, 255, 3).tolist()
        x, y = (int(v) for v in rng.uniform(0, size, 2))
        reach, kind = int(rng.uniform(3, 0.2 * size)), rng.integers(4)
        if kind == 0:
            cv2.circle(picture, (x, y), reach, bgr, -1, cv2.LINE_AA)
        elif kind == 1:  # skin-coloured ovals without features: not faces
            flesh = SKIN[rng.integers(len(SKIN))].tolist()
            cv2.ellipse(
                picture,
                (x, y),
                (reach, int(reach * rng.uniform(0.6, 1.4))),
                float(rng.uniform(0, 180)),
                0,
                360,
                flesh,
                -1,
                cv2.LINE_AA,
            )
        elif kind == 2:
            corners = np.array([x, y]) + rng.normal(0, reach, (4, 2))
            cv2.fillPoly(picture, [corners.astype(np.int32)], bgr, cv2.LINE_AA)
        else:
            end = (int(rng.uniform(0, size)), int(rng.uniform(0, size)))
            cv2.line(picture, (x, y), end, bgr, int(rng.integers(1, 5)), cv2.LINE_AA)


def _free_spot(
    carrier: Carrier, state: State, occupied: list[Floats], size: int, lying: bool, rng: np.random.Generator
) -> Floats | None:
    """A placement whose face box lies nearly inside the picture and clear of the others, or None after twelve tries."""
    for _ in range(12):
        unit = math.exp(rng.uniform(math.log(SMALLEST), math.log(LARGEST * size)))
        if lying:
            roll = float(rng.choice([-1, 1]) * rng.normal(math.pi / 2, 0.15))
        else:
            roll = float(rng.normal(0, 0.12)) if rng.random() < 0.85 else float(rng.uniform(-0.6, 0.6))
        spot = make_placement(unit, roll, rng.uniform(0.1, 0.9) * size, rng.uniform(0.1, 0.88) * size)
        box = face_box(carrier, state, spot)
        if box[:2].min() < -0.3 * unit or box[2:].max() > size + 0.3 * unit:
            continue
        gap = vector([-0.2, -0.2, 0.2, 0.2]) * unit
        if all(_are_apart(box + gap, other) for other in occupied):
            return spot
    return None


def _are_apart(a: Floats, b: Floats) -> bool:
    return bool(a[0] > b[2] or b[0] > a[2] or a[1] > b[3] or b[1] > a[3])


def _hidden_share(before: Bytes, after: Bytes, box: Floats) -> float:
    """The share of a box that a new person changed."""
    x0, y0, x1, y1 = (int(max(0, v)) for v in box)
    part = (before[y0:y1, x0:x1] != after[y0:y1, x0:x1]).any(2)
    return float(part.mean()) if part.size else 0.0


def _random_text(picture: Bytes, rng: np.random.Generator) -> None:
    size = len(picture)
    for share in (0.10,) if rng.random() < 0.5 else (0.10, 0.96):
        text = " ".join(str(word) for word in rng.choice(WORDS, 3))
        font, scale = FONTS[rng.integers(3)], size / rng.uniform(260, 420)
        where = (int(0.05 * size), int(share * size))
        for dx, dy in ((-2, 0), (2, 0), (0, -2), (0, 2), (0, 0)):
            bgr = (255, 255, 255) if dx == dy == 0 else (0, 0, 0)
            cv2.putText(picture, text, (where[0] + dx, where[1] + dy), font, scale, bgr, 2, cv2.LINE_AA)


def overlap(a: Floats, b: Floats) -> NDArray[np.float32]:
    """Intersection over union float32 [n, m] of boxes [n, 4] and [m, 4]."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inner = np.clip(high - low, 0, None).prod(2)
    areas = (a[:, 2:4] - a[:, :2]).prod(1)[:, None] + (b[:, 2:4] - b[:, :2]).prod(1)[None]
    return np.asarray(inner / (areas - inner + 1e-9), np.float32)
