"""People who move, painted to a hundredth of a pixel: a polygon drawn anew would be a tenth beside where it belongs.

A person is drawn once for a state, much larger, and moved to where it is needed.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from local.demo_pack import drawing
from local.demo_pack.canvas import Bytes, Canvas
from local.demo_pack.geometry import make_placement
from local.demo_pack.people import RESERVE, State, identity, sample_carrier

SPRITE_UNIT = 100  # pixels, as `make_placement` takes it
FINE = 2  # by which frames are painted finer than they are


def paint_person(
    picture: Bytes, number: int, state: State, *, unit: float, x: float, y: float, roll: float = 0.0
) -> None:
    """Paint a person of the reserve over a picture, uint8 BGR [H, W, 3], in place; the rest as `make_placement`."""
    sprite, middle = _draw_sprite(number, state)
    height, width = picture.shape[:2]
    scale = FINE * unit / SPRITE_UNIT
    cosine, sine = scale * np.cos(roll), scale * np.sin(roll)
    left, top = FINE * (x + 0.5) - 0.5, FINE * (y + 0.5) - 0.5
    there = np.array(
        [[cosine, -sine, left - cosine * middle + sine * middle], [sine, cosine, top - (sine + cosine) * middle]]
    )
    blurred = cv2.GaussianBlur(sprite, (0, 0), 0.45 / scale) if scale < 0.7 else sprite
    fine = cv2.warpAffine(blurred, there, (FINE * width, FINE * height))
    person = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32)
    picture[:] = np.rint(person[:, :, :3] + picture * (1 - person[:, :, 3:] / 255))


@lru_cache(64)
def _draw_sprite(number: int, state: State) -> tuple[Bytes, float]:
    """A person of the reserve with a head of SPRITE_UNIT, premultiplied BGRA, and where the head's middle is."""
    person = identity(RESERVE.start + number)
    carrier = sample_carrier(np.random.default_rng(number), person)
    side = 6 * SPRITE_UNIT
    canvas = Canvas(side, side)
    placement = make_placement(SPRITE_UNIT, 0.0, side / 2, side / 2)
    drawing.Painter(canvas, person, carrier, state, placement).paint()
    return canvas.pixels, side / 2
