"""Rain on a window, the lights of a street behind it."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Layer, Picture, clouds, colour, dither, dot, gradient

LIGHTS = ("#ffb347", "#ff7a59", "#ffd98a", "#7fd6ff", "#ff5fa2", "#9dffcf", "#fff1c9")
RUNNERS = 15


class Rain:
    """Blurred lights that breathe and drift, still drops on the glass, and drops that run down it."""

    def __init__(self, width: int, height: int) -> None:
        rng = np.random.default_rng(17)
        self._size = (width, height)
        dark = gradient(width, height, [(0, "#0b1626"), (0.55, "#1d2b45"), (0.75, "#3a3150"), (1, "#120f1e")])
        dark *= (0.8 + 0.4 * clouds(width, height, (4, 7), 2, 4))[..., None]
        # What is out of focus is painted at half the size.
        self._street = dither(cv2.resize(np.clip(dark, 0, 255), (width // 2, height // 2)).astype(np.float32))
        self._lights = []
        for index in range(36):
            radius = rng.uniform(13, 37) * (1.25 if index % 5 == 0 else 1)
            light = dot(radius, LIGHTS[rng.integers(len(LIGHTS))], 0.24, rng.uniform(0.35, 0.75))
            place = (rng.uniform(-20, width / 2), 75 + rng.beta(2.0, 2.0) * (height / 2 - 150))
            self._lights.append((light, place, rng.uniform(-6, 6), rng.uniform(0, 6)))
        self._map_x, self._map_y, self._shine = _drops(width, height, rng)
        self._run = [
            (rng.uniform(20, width - 20), rng.uniform(0, height + 300), rng.uniform(60, 210), rng.uniform(9, 17))
            for _ in range(RUNNERS)
        ]

    def __call__(self, time: float) -> Picture:
        width, height = self._size
        half = self._street.copy()
        for light, (x, y), drift, phase in self._lights:
            light.onto_subpixel(half, x + drift * time, y + 3 * np.sin(time * 0.7 + phase))
        behind = np.asarray(cv2.resize(half, (width, height)), np.uint8)
        frame = np.asarray(cv2.remap(behind, self._map_x, self._map_y, cv2.INTER_LINEAR), np.uint8)
        self._shine.onto(frame, 0, 0)
        for x, start, speed, radius in self._run:
            # A drop stops and starts as it gathers water.
            distance = start + speed * time + 34 * np.sin(time * speed / 45 + start)
            y = distance % (height + 300) - 150
            self._drop(frame, behind, x + 7 * np.sin(y / 61 + start), y, radius)
        return frame

    def _drop(self, frame: Picture, behind: Picture, x: float, y: float, radius: float) -> None:
        """A drop is a lens: it shows the street upside down, and leaves a clear track above it."""
        width, height = self._size
        wide, tall = int(radius), int(radius * 1.35)
        left, top = int(x) - wide, int(y) - tall
        track = int(min(170, max(0, top)))
        if left > 0 and left + wide * 2 < width and track:
            strip = frame[top - track : top, left + wide // 2 : left + wide + wide // 2]
            clear = behind[top - track : top, left + wide // 2 : left + wide + wide // 2]
            if strip.shape[0] > 1:
                cv2.addWeighted(strip, 0.35, clear, 0.65, 3, dst=strip)
        if left < 0 or top < 0 or left + wide * 2 >= width or top + tall * 2 >= height:
            return
        lens = behind[max(0, top - tall * 5) : top + tall * 6, max(0, left - wide * 5) : left + wide * 6]
        small = cv2.resize(lens[::-1, ::-1], (wide * 2, tall * 2), interpolation=cv2.INTER_AREA)
        v, u = np.mgrid[-1 : 1 : tall * 2j, -1 : 1 : wide * 2j].astype(np.float32)
        distance = np.hypot(u / (0.72 + 0.28 * np.clip(v + 0.6, 0, 1)), v)
        alpha = np.clip((1 - distance) * wide * 0.5, 0, 1)
        shading = small.astype(np.float32) * (1.15 - 0.75 * np.clip(distance - 0.45, 0, 1))[..., None] + 14
        shading += 150 * np.exp(-(((u + 0.35) / 0.16) ** 2 + ((v + 0.45) / 0.14) ** 2))[..., None]
        Layer.of(np.asarray(np.clip(shading, 0, 255), np.float32), np.asarray(alpha, np.float32)).onto(frame, left, top)


def _drops(width: int, height: int, rng: np.random.Generator) -> tuple[Picture, Picture, Layer]:
    """The refraction of the glass with its still drops, as cv2.remap's two maps, and the gleam of the drops."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    gleam = np.zeros((height, width), np.float32)
    for _ in range(520):
        radius = 2.2 + rng.random() ** 3.2 * 15
        column, row = rng.uniform(0, width), rng.uniform(0, height)
        left, right = max(0, int(column - radius) - 1), min(width, int(column + radius) + 2)
        top, bottom = max(0, int(row - radius * 1.2) - 1), min(height, int(row + radius * 1.2) + 2)
        v, u = np.mgrid[top:bottom, left:right].astype(np.float32)
        u, v = (u - column) / radius, (v - row) / (radius * 1.2)
        distance = np.hypot(u, v)
        inside = distance < 1
        x[top:bottom, left:right][inside] = (column - u * radius * 7)[inside]
        y[top:bottom, left:right][inside] = (row - v * radius * 7)[inside]
        light = np.exp(-(((u + 0.35) / 0.2) ** 2 + ((v + 0.4) / 0.18) ** 2)) * 0.75
        gleam[top:bottom, left:right] = np.maximum(gleam[top:bottom, left:right], light * inside)
    first, second = cv2.convertMaps(np.clip(x, 0, width - 1), np.clip(y, 0, height - 1), cv2.CV_16SC2)
    white = np.full((height, width, 3), colour("#eaf4ff"), np.float32)
    return np.asarray(first), np.asarray(second), Layer.of(white, gleam)
