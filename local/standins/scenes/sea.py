"""The sea at sunset."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Layer, Picture, clouds, colour, dither, glow, gradient, silhouette

HORIZON = 620
SUN = (395.0, 560.0)
BOAT = [(8, 92), (34, 92), (34, 86), (8, 86), (34, 20), (34, 4), (37, 4), (70, 84), (37, 86), (37, 92), (72, 92),
        (61, 104), (19, 104)]  # fmt: skip
# Wave length (pixels at the near edge), direction (radians), speed (radians a second), height.
WAVES = ((190.0, 0.25, 1.1, 1.0), (118.0, -0.5, 1.5, 0.8), (71.0, 0.65, 2.1, 0.7), (43.0, -0.2, 2.9, 0.55))


class Sea:
    """Waves under a low sun, a sail, slow clouds, a few birds."""

    def __init__(self, width: int, height: int) -> None:
        self._sky = dither(_sky(width, height))
        self._clouds = _clouds(width).widen(width)
        self._boat = silhouette(BOAT, 78, 108, "#231433")
        rows, columns = (height - HORIZON) // 2, width // 2
        near = (np.arange(rows, dtype=np.float32)[:, None] + 2) / rows
        across = (np.arange(columns, dtype=np.float32)[None] - SUN[0] / 2) / near * 2
        away = 900 / near
        wobble = (clouds(columns, rows, (6, 40), 5, 3) - 0.5) * 5
        self._phases = [
            (across * np.sin(turn) + away * np.cos(turn)) * np.float32(2 * np.pi / length) + wobble
            for length, turn, _, _ in WAVES
        ]
        self._calm = 0.25 + 0.75 * near  # far waves are too small to be seen
        path = np.exp(-((across * near / (26 + 120 * near)) ** 2)) * (1.15 - 0.75 * near)
        self._path = np.asarray(path, np.float32)
        self._water = gradient(columns, rows, [(0, "#e58a5e"), (0.06, "#b5607a"), (0.3, "#5b3f7d"), (1, "#171c45")])
        self._tint = gradient(columns, rows, [(0, "#ffd79a"), (0.5, "#ffb26b"), (1, "#ff8d5c")]) / 255
        self._width, self._height = width, height

    def __call__(self, time: float) -> Picture:
        frame = self._sky.copy()
        self._clouds.scroll_onto(frame, 40 + time * 9, 90)
        frame[HORIZON:] = self._sea(time)
        for index in range(5):
            self._bird(frame, time, index)
        self._boat.onto_subpixel(frame, 150 + time * 5.5, HORIZON - 92 + np.sin(time * 1.3) * 1.5)
        return frame

    def _sea(self, time: float) -> Picture:
        waves = np.zeros_like(self._path)
        for phase, (_, _, speed, height) in zip(self._phases, WAVES, strict=True):
            waves += np.sin(phase - np.float32(speed * time)) * np.float32(height)
        waves *= self._calm
        glint = np.clip(waves * 0.9 - 0.35, 0, 1.6) * self._path * 255
        shade = (1 + waves * 0.13)[..., None]
        sea: Field = self._water * shade + self._tint * (glint + self._path * 70)[..., None]
        small = np.clip(sea, 0, 255).astype(np.uint8)
        return np.asarray(cv2.resize(small, (self._width, self._height - HORIZON)), np.uint8)

    def _bird(self, frame: Picture, time: float, index: int) -> None:
        x = (90 + index * 47 + time * (26 + index * 2)) % (self._width + 80) - 40
        y = 300 + 38 * np.sin(index * 2.1) + 8 * np.sin(time * 0.8 + index)
        lift = np.sin(time * 6 + index * 1.7) * 5
        wing = [
            (x - 15, y - lift),
            (x - 6, y - 4 - lift * 0.4),
            (x, y),
            (x + 6, y - 4 - lift * 0.4),
            (x + 15, y - lift),
        ]
        line = np.round(np.array(wing) * 8).astype(np.int32)
        cv2.polylines(frame, [line], False, (66, 38, 52), 2, cv2.LINE_AA, 3)


def _sky(width: int, height: int) -> Field:
    stops = [(0, "#1d1f52"), (0.2, "#4a3a80"), (0.34, "#a24f86"), (0.42, "#ee7f6a"), (0.485, "#ffc07a"), (1, "#ffd79a")]
    sky = gradient(width, height, stops)
    for radius, power, strength in ((420, 1.1, 0.55), (150, 1.5, 0.8)):
        light = glow(width, height, SUN, radius, power)[..., None] * strength
        sky += (colour("#ffdf9e") - sky) * light
    disc = np.clip(92 - np.hypot(*(np.mgrid[0:height, 0:width] - np.array(SUN[::-1])[:, None, None])), 0, 1)
    sky += (colour("#fff4d0") - sky) * disc[..., None].astype(np.float32)
    return sky


def _clouds(width: int) -> Layer:
    height, wide = 420, width * 2
    shape = clouds(wide, height, (4, 6), 11)
    band = np.sin(np.linspace(0, 3.14, height, dtype=np.float32))[:, None] ** 0.7
    alpha = np.clip((shape * band - 0.42) * 2.6, 0, 0.9)
    highlight = np.clip(np.roll(shape, -9, axis=0) - shape, 0, 0.2)[..., None] * 5
    body = gradient(wide, height, [(0, "#5b4586"), (0.5, "#b65a84"), (1, "#f08a6e")])
    return Layer.of(body + (colour("#ffd9a0") - body) * highlight, np.asarray(alpha, np.float32))
