"""Mountains above the mist at sunrise."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Layer, Picture, clouds, colour, dither, glow, gradient, ridge, solid

# Foot (pixels from the top), height, colours at crest and foot, roughness, speed (pixels a second), bumps.
RIDGES = (
    (720, 250, "#b9a3c9", "#f3cdbd", 0.46, 6, 2),
    (830, 240, "#8f86b8", "#e6bcbb", 0.50, 12, 2),
    (950, 250, "#61679f", "#c7a2b4", 0.48, 24, 3),
    (1090, 260, "#3a4a7d", "#8d7fa4", 0.47, 36, 3),
)


class Mountains:
    """Four ridges and the mist between them pass at their own speeds; pines stand in front."""

    def __init__(self, width: int, height: int) -> None:
        sky = gradient(width, height, [(0, "#5d82c4"), (0.25, "#a7b4dc"), (0.42, "#f4cbb8"), (0.54, "#ffe3ae")])
        sun = (width * 0.62, 520.0)
        for radius, power, strength in ((430, 1.1, 0.6), (130, 1.4, 0.7)):
            sky += (colour("#fff0c4") - sky) * glow(width, height, sun, radius, power)[..., None] * strength
        disc = np.clip(58 - np.hypot(*(np.mgrid[0:height, 0:width] - np.array(sun[::-1])[:, None, None])), 0, 1)
        sky += (colour("#fffbe8") - sky) * disc[..., None].astype(np.float32)
        self._sky = dither(np.clip(sky, 0, 255))
        self._high = _mist(width, 380, "#fff1e6", 0.52, 0.75, 31).widen(width)
        self._ridges = [
            (_ridge(width, index, tall, crest, foot, rough, bumps).widen(width), bottom, speed)
            for index, (bottom, tall, crest, foot, rough, speed, bumps) in enumerate(RIDGES)
        ]
        self._mists = [_mist(width, 190, "#ffe9dc", 0.36, 0.8, seed).widen(width) for seed in (40, 41, 42)]
        self._pines = _pines(width).widen(width)

    def __call__(self, time: float) -> Picture:
        frame = self._sky.copy()
        self._high.scroll_onto(frame, 12 * time, 60)
        for index, (layer, bottom, speed) in enumerate(self._ridges):
            layer.scroll_onto(frame, speed * time, bottom - layer.height + 60)
            frame[bottom + 60 :] = layer.paint[-1, 0]  # the valley's mist
            if index < len(self._mists):
                mist = self._mists[index]
                mist.scroll_onto(frame, (speed + 14 + index * 6) * time, bottom - mist.height + 62)
        frame[1150:] = self._pines.paint[-1, 0]
        self._pines.scroll_onto(frame, 48 * time, frame.shape[0] - self._pines.height)
        return frame


def _ridge(view: int, index: int, tall: int, crest: str, foot: str, rough: float, bumps: int) -> Layer:
    width, height = view * 2, tall + 60
    line = ridge(width, 60 + index, rough, bumps) ** 1.15 * tall
    row = np.arange(height, dtype=np.float32)[:, None]
    alpha = np.clip(row - (tall - line)[None] + 0.5, 0, 1)
    picture = gradient(width, height, [(0, crest), (0.95, foot)])
    slope = np.gradient(cv2.GaussianBlur(line[None], (0, 0), 3)[0])
    near_crest = np.exp(-np.maximum(row - (tall - line)[None], 0) / 46)
    rock = clouds(width, height, (60, 12), 80 + index, 3) - 0.5
    picture += (near_crest * np.clip(slope * 34 + rock * 30, -24, 30))[..., None]
    return Layer.of(np.clip(picture, 0, 255), np.asarray(alpha, np.float32))


def _mist(view: int, height: int, code: str, floor: float, most: float, seed: int) -> Layer:
    width = view * 2
    band = np.sin(np.linspace(0, 3.14, height, dtype=np.float32))[:, None]
    alpha = np.clip((clouds(width, height, (5, 3), seed, 5) * band - floor) * 2.2, 0, most)
    return Layer.of(solid(width, height, code), np.asarray(alpha, np.float32))


def _pines(view: int) -> Layer:
    width, height, scale = view * 2, 330, 2
    rng = np.random.default_rng(14)
    cover = np.zeros((height * scale, width * scale), np.uint8)
    ground = height - 120 - ridge(width, 90, 0.42, 1) * 40
    for x in range(width):
        cover[int(ground[x] * scale) :, x * scale : (x + 1) * scale] = 255
    for x in rng.integers(30, width - 30, 74):
        tall, middle, foot = rng.uniform(50, 165) * scale, int(x) * scale, ground[x] * scale + 6
        steps = int(tall / 11)
        for step in range(steps):
            top = foot - tall + step * tall / steps
            half = (step + 1) / steps * tall * 0.19 * rng.uniform(0.8, 1.15)
            low = top + tall / steps * 1.6
            branch = [(middle, top - 6), (middle - half, low), (middle + half, low)]
            cv2.fillPoly(cover, [np.round(branch).astype(np.int32)], 255)
    alpha = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA) / 255
    picture = gradient(width, height, [(0, "#1d2b52"), (1, "#0e1730")])
    return Layer.of(picture, np.asarray(alpha, np.float32))
