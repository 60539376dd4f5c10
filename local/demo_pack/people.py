"""Who is drawn: three independent sets of parameters, and the seeds that may be used for what.

An *identity* is the inner face, what a face swap must carry over. A *carrier* is everything that stays with the
picture: hair, head outline, ears, neck, clothes. A *state* is the moment: pose, expression, gaze, light, background.
The truth of a swap is the source's identity with the target's carrier and state, so every swap has a drawn answer.

Lengths are in head units: the head's half width is about 0.9, x points right, y down, z to the viewer. Angles are
radians.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

TRAINING = range(1_000_000)
"""Identity seeds the networks learn from."""
DEVELOPMENT = range(1_000_000, 2_000_000)
"""Identity seeds for decisions: learning curves, choice of a checkpoint."""
RESERVE = range(2_000_000, 3_000_000)
"""Identity seeds for reported numbers and the demo's pictures; nothing is trained or decided on them."""

RANGES: dict[str, tuple[float, float]] = {
    "tone": (0.0, 1.0),
    "rosiness": (-1.0, 1.0),
    "eye_gap": (0.37, 0.46),
    "eye_width": (0.16, 0.23),
    "eye_height": (0.55, 1.0),
    "eye_tilt": (-0.26, 0.26),
    "eye_y": (-0.05, 0.05),
    "iris_size": (0.66, 0.98),
    "lashes": (0.0, 1.0),
    "lid": (0.0, 1.0),
    "brow_y": (-0.06, 0.06),
    "brow_thickness": (0.03, 0.13),
    "brow_arch": (0.0, 0.14),
    "brow_tilt": (-0.12, 0.12),
    "brow_length": (0.19, 0.30),
    "nose_length": (0.24, 0.42),
    "nose_width": (0.10, 0.22),
    "nose_rosiness": (0.0, 1.0),
    "mouth_width": (0.24, 0.40),
    "mouth_y": (-0.05, 0.05),
    "lip": (0.03, 0.11),
    "lip_bow": (0.0, 1.0),
    "blush": (0.0, 1.0),
    "freckles": (0.0, 1.0),
    "age": (0.0, 1.0),
}
"""Continuous identity parameters and their bounds; eye_height and iris_size are relative to the eye."""

CHOICES: dict[str, int] = {
    "iris": 6,
    "brow_colour": 7,
    "lip_colour": 5,
    "eyeshadow": 4,
    "nose_shape": 4,
    "mole": 5,
    "glasses": 4,
    "frame_colour": 5,
    "beard": 5,
}
"""Categorical identity parameters and the number of kinds; 0 is 'none' for eyeshadow, mole, glasses and beard."""

RARE: dict[str, float] = {
    "blush": 0.5,
    "freckles": 0.25,
    "age": 0.3,
    "eyeshadow": 0.35,
    "mole": 0.35,
    "glasses": 0.3,
    "beard": 0.35,
}
"""How often a feature that most faces lack is there at all; without an entry, always."""

HAIR_STYLES = 10
HAIR_COLOURS = 12
CLOTHES = 10


@dataclass(frozen=True)
class Identity:
    """The inner face. See RANGES and CHOICES for bounds."""

    tone: float
    rosiness: float
    eye_gap: float
    eye_width: float
    eye_height: float
    eye_tilt: float
    eye_y: float
    iris_size: float
    lashes: float
    lid: float
    brow_y: float
    brow_thickness: float
    brow_arch: float
    brow_tilt: float
    brow_length: float
    nose_length: float
    nose_width: float
    nose_rosiness: float
    mouth_width: float
    mouth_y: float
    lip: float
    lip_bow: float
    blush: float
    freckles: float
    age: float
    iris: int
    brow_colour: int
    lip_colour: int
    eyeshadow: int
    nose_shape: int
    mole: int
    glasses: int
    frame_colour: int
    beard: int

    def vector(self) -> Floats:
        """Float32 vector for regression: continuous values scaled to [-1, 1], then one-hot blocks in the order of
        CHOICES.

        What cannot be seen is left undecided: without glasses the frame's colour is uniform.
        """
        parts = [np.array([(getattr(self, name) - low) / (high - low) * 2 - 1 for name, (low, high) in RANGES.items()])]
        for name, count in CHOICES.items():
            hidden = name == "frame_colour" and self.glasses == 0
            parts.append(np.full(count, 1 / count) if hidden else np.eye(count)[getattr(self, name)])
        return np.concatenate(parts).astype(np.float32)


@dataclass(frozen=True)
class Carrier:
    """What stays with the target of a swap."""

    width: float
    jaw: float
    chin: float
    crown: float
    ear: float
    hair: int
    hair_colour: int
    highlight: float
    clothes: int
    collar: int
    neck_tone: float
    neck_rosiness: float


@dataclass(frozen=True)
class State:
    """One moment. Light is a gradient across the face; `blur` is a sigma in 1/128 of the crop; `noise` in grey
    levels."""

    yaw: float = 0.0
    pitch: float = 0.0
    smile: float = 0.4
    opening: float = 0.0
    raised_brows: float = 0.0
    frown: float = 0.0
    gaze_x: float = 0.0
    gaze_y: float = 0.0
    blink: float = 0.0
    wink: int = 0
    light_x: float = 0.4
    light_y: float = -0.6
    light: float = 0.1
    brightness: float = 1.0
    tint: tuple[float, float, float] = (0.0, 0.0, 0.0)
    background: int = 0
    blur: float = 0.0
    noise: float = 0.0


def identity(seed: int) -> Identity:
    """Return the identity of a seed; the same one on every machine."""
    rng = np.random.default_rng(seed)
    values: dict[str, Any] = {name: float(rng.uniform(low, high)) for name, (low, high) in RANGES.items()}
    values |= {name: int(rng.integers(count)) for name, count in CHOICES.items()}
    for name, share in RARE.items():
        present = rng.random() < share
        if name in CHOICES:
            values[name] = int(rng.integers(1, CHOICES[name])) if present else 0
        else:
            values[name] = float(rng.uniform(0.4, 1.0)) if present else 0.0
    return Identity(**values)


def sample_carrier(rng: np.random.Generator, of: Identity | None = None) -> Carrier:
    """Draw a carrier whose neck has the skin of `of`, or of nobody in particular."""
    return Carrier(
        width=float(rng.uniform(0.84, 0.98)),
        jaw=float(rng.uniform(0.45, 0.95)),
        chin=float(rng.uniform(1.10, 1.26)),
        crown=float(rng.uniform(1.0, 1.14)),
        ear=float(rng.uniform(0.14, 0.23)),
        hair=int(rng.integers(HAIR_STYLES)),
        hair_colour=int(rng.integers(HAIR_COLOURS)),
        highlight=float(rng.uniform(0.0, 1.0)),
        clothes=int(rng.integers(CLOTHES)),
        collar=int(rng.integers(3)),
        neck_tone=of.tone if of else float(rng.uniform(0.0, 1.0)),
        neck_rosiness=of.rosiness if of else float(rng.uniform(-1.0, 1.0)),
    )


def sample_state(rng: np.random.Generator) -> State:
    """Draw a moment; half the pictures are clean, the rest slightly noisy, one in four slightly soft."""
    return State(
        yaw=float(np.clip(rng.normal(0.0, 0.20), -0.5, 0.5)),
        pitch=float(np.clip(rng.normal(0.0, 0.10), -0.25, 0.25)),
        smile=float(rng.uniform(-0.7, 1.0)),
        opening=float(max(0.0, rng.uniform(-0.6, 1.0))),
        raised_brows=float(rng.uniform(-1.0, 1.0)),
        frown=float(rng.uniform(-1.0, 1.0)),
        gaze_x=float(rng.uniform(-1.0, 1.0)),
        gaze_y=float(rng.uniform(-0.6, 0.6)),
        blink=float(rng.uniform(0.0, 1.0)) if rng.random() < 0.25 else 0.0,
        wink=int(rng.integers(1, 3)) if rng.random() < 0.08 else 0,
        light_x=float(rng.uniform(-1.0, 1.0)),
        light_y=float(rng.uniform(-1.0, 0.6)),
        light=float(rng.uniform(0.0, 0.26)),
        brightness=float(rng.uniform(0.82, 1.08)),
        tint=(float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05)), float(rng.uniform(-0.05, 0.05))),
        background=int(rng.integers(1 << 30)),
        blur=float(rng.uniform(0.3, 0.8)) if rng.random() < 0.25 else 0.0,
        noise=float(rng.uniform(0.0, 4.0)) if rng.random() < 0.5 else 0.0,
    )


def clean(state: State) -> State:
    """The same moment without blur and noise."""
    return replace(state, blur=0.0, noise=0.0)
