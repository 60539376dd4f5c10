"""Where a drawn face lies: head points turned and projected, its keypoints, its box, and the placement of a crop.

A placement is a float32 [2, 3] matrix from head units (see people.py) to pixels. Points are float32 [n, 2] (x, y).
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from local.demo_pack.canvas import COS, SIN, Floats, vector
from local.demo_pack.people import Carrier, Identity, State

ARCFACE_TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)
"""Keypoints (x, y) in the 112-pixel crop: viewer's left eye, right eye, nose tip, mouth corners (insightface
face_align.py)."""


def turn(points: Floats, state: State) -> Floats:
    """Project head points [n, 3], turned by yaw and pitch, to [n, 2]; the projection is orthographic."""
    x, y, z = points[:, 0], points[:, 1], points[:, 2]
    side, ahead = math.sin(state.yaw), math.cos(state.yaw)
    depth = z * ahead - x * side
    return np.stack([x * ahead + z * side, y * math.cos(state.pitch) - depth * math.sin(state.pitch)], 1)


def on_face(x: ArrayLike, y: ArrayLike, lift: float = 0.0) -> Floats:
    """Points [n, 3] on the front of the head, an ellipsoid, raised by `lift`."""
    x, y = np.broadcast_arrays(np.atleast_1d(np.asarray(x, np.float32)), np.asarray(y, np.float32))
    bulge = 0.6 * np.sqrt(np.clip(1 - (x / 1.1) ** 2 - ((y - 0.1) / 1.9) ** 2, 0.02, 1))
    return np.stack([x, y, bulge + lift], 1).astype(np.float32)


def eye_level(identity: Identity) -> float:
    """y of the eyes' centres."""
    return identity.eye_y - 0.06


def nose_tip(identity: Identity) -> float:
    """y of the nose's tip."""
    return eye_level(identity) + identity.nose_length + 0.06


def mouth(identity: Identity, state: State) -> tuple[float, float, float]:
    """Half width of the mouth, y of its middle line, y of its corners."""
    half_width = identity.mouth_width * (1 + 0.16 * state.smile) * (1 - 0.12 * state.opening)
    middle = 0.70 + identity.mouth_y - 0.02 * state.opening
    return half_width, middle, middle - 0.10 * state.smile + 0.03 * state.opening


def keypoints(identity: Identity, state: State, placement: Floats | None = None) -> Floats:
    """float32 [5, 2]: eyes, nose tip, mouth corners in the order of ARCFACE_TEMPLATE; in head units without a
    placement."""
    level = eye_level(identity)
    half_width, _, corner = mouth(identity, state)
    points = np.concatenate(
        [
            on_face([-identity.eye_gap, identity.eye_gap], level),
            on_face(0.0, nose_tip(identity), 0.2),
            on_face([-half_width, half_width], corner),
        ]
    )
    return place(turn(points, state), placement)


def place(points: Floats, placement: Floats | None) -> Floats:
    """Apply a placement to points [n, 2]."""
    return points if placement is None else np.asarray(points @ placement[:, :2].T + placement[:, 2], np.float32)


def head_outline(carrier: Carrier, grow: float = 0.0) -> Floats:
    """Points [36, 3] around the face from the crown to the chin; the jaw is a superellipse."""
    below = SIN > 0
    power = 0.60 + 0.5 * (1 - carrier.jaw)
    x = (carrier.width + grow) * np.where(below, np.sign(COS) * np.abs(COS) ** power * (1 - 0.12 * SIN), COS)
    y = np.where(below, (carrier.chin + grow) * SIN, (carrier.crown + grow) * SIN)
    return np.stack([x, y, np.full_like(x, 0.12)], 1).astype(np.float32)


def face_box(carrier: Carrier, state: State, placement: Floats) -> Floats:
    """float32 [4] (x0, y0, x1, y1) in pixels around the head's outline."""
    outline = place(turn(head_outline(carrier), state), placement)
    return np.concatenate([outline.min(0), outline.max(0)]).astype(np.float32)


def similarity(source: Floats, target: Floats) -> Floats:
    """Least-squares rotation, scale and shift [2, 3] from points [n, 2] to points [n, 2] (Umeyama 1991, without
    mirroring)."""
    a, b = source - source.mean(0), target - target.mean(0)
    along = (a * b).sum() / (a**2).sum()
    across = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum() / (a**2).sum()
    matrix = np.array([[along, -across], [across, along]])
    return np.concatenate([matrix, (target.mean(0) - matrix @ source.mean(0))[:, None]], 1).astype(np.float32)


def template(size: int) -> Floats:
    """Keypoints [5, 2] in a crop of 112 or 128 pixels (or multiples), as in insightface's estimate_norm."""
    if size % 112 == 0:
        return ARCFACE_TEMPLATE * np.float32(size / 112)
    ratio = size / 128
    return ARCFACE_TEMPLATE * np.float32(ratio) + vector([8 * ratio, 0])


def crop_placement(identity: Identity, state: State, size: int, jitter: Floats | None = None) -> Floats:
    """The placement that renders straight into the aligned crop; `jitter` [5, 2] (head units) imitates a detector's
    error."""
    points = keypoints(identity, state)
    return similarity(points if jitter is None else points + jitter, template(size))


def make_placement(unit: float, roll: float, x: float, y: float) -> Floats:
    """Placement of a head of half width 0.9 `unit` pixels at (x, y), rolled clockwise by radians."""
    cos, sin = unit * math.cos(roll), unit * math.sin(roll)
    return np.array([[cos, -sin, x], [sin, cos, y]], np.float32)
