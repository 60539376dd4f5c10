"""A flight among the stars."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Picture, clouds, colour, dither, glow, solid

STARS = 420
FAR, SPEED = 9.0, 1.1  # depth of the field, and depth passed in a second


class Stars:
    """A nebula that opens slowly, and stars that come near and pass."""

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._nebula = _nebula(width * 5 // 8, height * 5 // 8)
        rng = np.random.default_rng(21)
        self._place = rng.uniform(-1, 1, (STARS, 2)) * (width * 1.6, height * 1.6)
        self._depth = rng.uniform(0, FAR, STARS)
        self._tint = np.stack([colour(code) for code in ("#ffffff", "#bcd2ff", "#ffe2c2", "#d9c6ff")])[
            rng.integers(0, 4, STARS)
        ]

    def __call__(self, time: float) -> Picture:
        width, height = self._size
        zoom = 1.68 * (1 + 0.012 * time)
        turn = cv2.getRotationMatrix2D((self._nebula.shape[1] / 2, self._nebula.shape[0] / 2), 0.55 * time - 3, zoom)
        turn[:, 2] += (width / 2 - self._nebula.shape[1] / 2, height / 2 - self._nebula.shape[0] / 2)
        frame = np.asarray(cv2.warpAffine(self._nebula, turn, (width, height), borderMode=cv2.BORDER_REFLECT), np.uint8)
        depth = (self._depth - SPEED * time) % FAR + 0.25
        middle = np.array([width, height]) / 2
        here = middle + self._place / depth[:, None]
        before = middle + self._place / (depth + 0.02)[:, None]
        light = np.clip(1.25 - depth / FAR, 0, 1) ** 1.5
        visible = np.all((here > -20) & (here < middle * 2 + 20), axis=1)
        for index in np.flatnonzero(visible):
            size, tint = 1.1 / depth[index] + 0.55, self._tint[index] * light[index]
            paint = (float(tint[0]), float(tint[1]), float(tint[2]))
            ends = np.round(np.stack([before[index], here[index]]) * 8).astype(int)
            cv2.line(frame, ends[0], ends[1], paint, max(1, min(3, round(size))), cv2.LINE_AA, 3)
            if size > 1:
                cv2.circle(frame, ends[1], round(min(size, 2.4) * 8), paint, -1, cv2.LINE_AA, 3)
        return frame


def _nebula(width: int, height: int) -> Picture:
    sky: Field = solid(width, height, "#05040f")
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    band = np.exp(-((((x - width / 2) * 0.75 + (y - height / 2) * 0.42) / (width * 0.33)) ** 2))
    gas, dust, veil = (clouds(width, height, cells, seed, 6) for cells, seed in (((3, 5), 1), ((4, 7), 2), ((2, 4), 3)))
    for field, code, strength in ((gas, "#5b2a9d", 0.95), (dust, "#c23a7c", 0.7), (veil, "#2360b8", 0.75)):
        sky += colour(code) * (np.clip(field - 0.3, 0, 1) ** 1.3 * band * strength * 1.3)[..., None]
    sky += colour("#ffd2a6") * (glow(width, height, (width * 0.52, height * 0.47), width * 0.24, 1.2) * gas)[..., None]
    sky *= (1 - 0.75 * np.clip(clouds(width, height, (5, 9), 7, 6) - 0.5, 0, 0.5) * 2 * band)[..., None]
    rng = np.random.default_rng(5)
    for _ in range(900):
        row, column = rng.integers(0, height), rng.integers(0, width)
        sky[row, column] += rng.random() ** 4 * 190
    return dither(np.clip(sky, 0, 255))
