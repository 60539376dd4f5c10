"""Northern lights over a lake."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Layer, Picture, clouds, colour, dither, gradient, ridge, solid

SHORE = 930
COLUMNS, ROWS = 240, 160  # of the grid in which the light is reckoned
# Height of the lower edge (share of the sky), its swing, waves across, speed, brightness.
CURTAINS = ((0.82, 0.06, 0.8, 0.30, 1.0), (0.58, 0.11, 0.9, -0.22, 0.85), (0.36, 0.07, 0.6, 0.17, 0.55))


class Aurora:
    """Curtains of light that drift and flicker, stars, black pines, all doubled by still water."""

    def __init__(self, width: int, height: int) -> None:
        sky = gradient(width, SHORE, [(0, "#040818"), (0.55, "#0a1a38"), (1, "#17425a")])
        self._sky = _stars(dither(sky))
        x = np.linspace(0, 1, COLUMNS, dtype=np.float32)
        self._x, self._y = x, np.linspace(0, 1, ROWS, dtype=np.float32)[:, None]
        self._rays = clouds(COLUMNS * 4, 64, (48, 2), 8, 3)
        self._hills = _hills(width)
        self._pines = _pines(width)
        self._dim = dither(gradient(width, height - SHORE, [(0, "#0c2a38"), (1, "#04101c")]) * 0.45)
        self._size = (width, height)

    def __call__(self, time: float) -> Picture:
        width, height = self._size
        frame = np.empty((height, width, 3), np.uint8)
        light = cv2.resize(self._light(time), (width, SHORE), interpolation=cv2.INTER_LINEAR)
        cv2.add(self._sky, light, dst=frame[:SHORE])
        self._hills.onto(frame, 0, SHORE - self._hills.height)
        self._pines.onto(frame, 0, SHORE - self._pines.height + 4)
        rows = np.arange(height - SHORE, dtype=np.float32)
        ripple = np.sin(rows * 0.5 - time * 2.2) * (0.6 + rows * 0.012)
        source = np.clip(SHORE - 4 - rows * 1.9 + ripple * 3, 0, SHORE - 1).astype(np.int32)
        frame[SHORE:] = cv2.addWeighted(cv2.blur(frame[source], (7, 3)), 0.7, self._dim, 1, 0)
        return frame

    def _light(self, time: float) -> Picture:
        total: Field = np.zeros((ROWS, COLUMNS, 3), np.float32)
        for index, (place, swing, waves, speed, strength) in enumerate(CURTAINS):
            turn = np.float32(2 * np.pi * waves) * self._x
            edge = (
                place + swing * np.sin(turn + speed * time + index * 2) + 0.022 * np.sin(turn * 2.7 - speed * 3 * time)
            )
            row = self._rays[int(time * 1.6 + index * 20) % 63 : int(time * 1.6 + index * 20) % 63 + 2]
            part = time * 1.6 % 1
            drift = int(time * 12) + index * 200
            rays = np.roll(row[0] * (1 - part) + row[1] * part, drift)[:COLUMNS]
            body = 0.55 + 0.45 * np.sin(turn * 0.7 - speed * 2 * time + index)
            above = edge - self._y
            fall = np.exp(-np.maximum(above, 0) / (0.10 + 0.20 * rays)) * (1 - np.exp(-np.maximum(above, 0) * 22))
            shine = (fall * (0.18 + 0.82 * rays) * body * strength)[..., None].astype(np.float32)
            rise = np.clip(above * 3.1, 0, 1)[..., None].astype(np.float32)
            total += shine * (colour("#4dffa0") * (1 - rise) + colour("#9a5cff") * rise)
        light: Picture = np.clip(total * 1.35, 0, 255).astype(np.uint8)
        return light


def _stars(sky: Picture) -> Picture:
    rng = np.random.default_rng(9)
    for _ in range(330):
        x, y, size = int(rng.integers(2, sky.shape[1] - 2)), int(rng.uniform(2, SHORE * 0.85)), rng.random() ** 6
        cv2.circle(sky, (x * 8, y * 8), int(5 + size * 9), (255, 240, 225) if size > 0.4 else (170, 160, 150), -1,
                   cv2.LINE_AA, 3)  # fmt: skip
    return sky


def _hills(width: int) -> Layer:
    height = 210
    line = 20 + ridge(width, 12, 0.48, 2) * 150
    alpha = np.clip(np.arange(height)[:, None] - (height - 30 - line)[None], 0, 1)
    picture = gradient(width, height, [(0, "#123246"), (1, "#0b2030")])
    return Layer.of(picture, np.asarray(alpha, np.float32))


def _pines(width: int) -> Layer:
    rng = np.random.default_rng(2)
    height, scale = 330, 2
    cover = np.zeros((height * scale, width * scale), np.uint8)
    bank = height - 34 - ridge(width, 5, 0.4, 1) * 16
    for x in range(width):
        cover[int(bank[x] * scale) :, x * scale : (x + 1) * scale] = 255
    for x in sorted(rng.integers(-10, width + 10, 58)):
        centre = abs(x - width / 2) / (width / 2)
        tall = (50 + 190 * centre**1.6 * rng.uniform(0.5, 1)) * scale
        foot, middle = int(bank[int(np.clip(x, 0, width - 1))] * scale) + 4, int(x * scale)
        steps = int(tall / 13)
        for step in range(steps):
            top = foot - tall + step * tall / steps
            half = (step + 1.2) / steps * tall * 0.2 * rng.uniform(0.8, 1.15)
            triangle = [
                (middle, top - 8),
                (middle - half, top + tall / steps * 1.7),
                (middle + half, top + tall / steps * 1.7),
            ]
            cv2.fillPoly(cover, [np.round(triangle).astype(np.int32)], 255)
        cv2.line(cover, (middle, foot), (middle, int(foot - tall)), 255, 3)
    alpha = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA) / 255
    return Layer.of(solid(width, height, "#050d14"), np.asarray(alpha, np.float32))
