"""A city by a river at night."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Layer, Picture, clouds, colour, dither, dot, glow, gradient, solid

QUAY = 900  # the water's edge
MIRRORED = 620  # rows of city that the river shows, pressed together
WINDOWS = ("#ffd48a", "#ffe9bd", "#ffb45e", "#bfe3ff", "#fff3d6")


class City:
    """Three rows of towers passing at their own speeds, cars on the quay, an aeroplane, all of it in the water."""

    def __init__(self, width: int, height: int) -> None:
        sky = gradient(width, QUAY, [(0, "#070b26"), (0.45, "#1b1a4e"), (0.75, "#54306f"), (0.95, "#c0617a")])
        sky += colour("#ffb27a") * glow(width, QUAY, (width * 0.5, QUAY), 420, 1.4)[..., None] * 0.25
        haze = clouds(width, QUAY, (2, 5), 3)[..., None] * np.linspace(0.05, 0.5, QUAY, dtype=np.float32)[:, None, None]
        sky += (colour("#7d4a86") - sky) * haze * 0.5
        moon = np.clip(34 - np.hypot(*(np.mgrid[0:QUAY, 0:width] - np.array([[[210]], [[540]]]))), 0, 1)[..., None]
        sky += colour("#9aa6e8") * glow(width, QUAY, (540, 210), 150, 1.0)[..., None] * 0.35
        sky += (colour("#f6f0dc") - sky) * moon.astype(np.float32)
        self._sky = _starry(dither(np.clip(sky, 0, 255)))
        self._rows = [
            (_towers(width, 420, "#3c2a66", 46, 0.30, 1).widen(width), 15),
            (_towers(width, 560, "#221c4d", 64, 0.42, 2).widen(width), 30),
            (_towers(width, 470, "#0c0e2b", 96, 0.5, 3).widen(width), 60),
        ]
        self._cars = [dot(4.5, "#fff4d8", 1.0), dot(4.5, "#ff4a3d", 1.0)]
        self._beacon, self._plane = dot(5, "#ff5a4d", 1.2), dot(3, "#ffffff", 1.0)
        self._river = np.arange(height - QUAY, dtype=np.float32)
        self._deep = dither(solid(width, height - QUAY, "#10143c") * 0.55)
        self._height = height

    def __call__(self, time: float) -> Picture:
        frame = np.empty((self._height, *self._sky.shape[1:]), np.uint8)
        city = frame[:QUAY]
        city[:] = self._sky
        for layer, speed in self._rows:
            layer.scroll_onto(city, 100 + speed * time, QUAY - layer.height)
        self._plane.onto_subpixel(frame, 760 - time * 38, 150 + time * 3)
        if time % 1 < 0.12:
            self._beacon.onto(frame, int(760 - time * 38) - 4, int(150 + time * 3) - 3)
        cv2.rectangle(frame, (0, QUAY - 16), (frame.shape[1], QUAY), (30, 14, 12), -1)
        for index in range(18):
            speed, place = 120 + index * 37 % 90, index * 173
            self._cars[0].onto_subpixel(frame, 740 - (place + speed * time) % 800, QUAY - 22)
            self._cars[1].onto_subpixel(frame, (place * 1.7 + speed * time) % 800 - 30, QUAY - 17)
        self._mirror(frame, time)
        return frame

    def _mirror(self, frame: Picture, time: float) -> None:
        rows = self._river
        source_rows = QUAY - 1 - rows * (MIRRORED / len(rows))
        ripple = np.sin(rows * 0.45 - time * 4) * (1 + rows * 0.03) + np.sin(rows * 0.17 + time * 2.3) * (
            2 + rows * 0.06
        )
        source = np.clip(source_rows + ripple * 3, 0, QUAY - 1).astype(np.int32)
        water = cv2.blur(frame[source], (9, 3))
        frame[QUAY:] = cv2.addWeighted(water, 0.62, self._deep, 1.0, 0)


def _starry(sky: Picture) -> Picture:
    rng = np.random.default_rng(4)
    for _ in range(140):
        x, y, light = rng.integers(0, sky.shape[1]), int(rng.random() ** 1.6 * 480), rng.integers(30, 150)
        sky[y, x] = np.clip(sky[y, x].astype(int) + light, 0, 255)
    return sky


def _towers(view: int, height: int, code: str, across: int, light_share: float, seed: int) -> Layer:
    rng = np.random.default_rng(seed)
    width = view * 2
    picture: Field = solid(width, height, code)
    picture *= np.linspace(0.75, 1.35, height, dtype=np.float32)[:, None, None]
    alpha = np.zeros((height, width), np.float32)
    x = 0
    while x < width - 8:
        wide = min(int(rng.uniform(across * 0.6, across * 1.5)), width - x)
        top = int(height * (1 - rng.random() ** 1.4 * 0.72 - 0.24))
        alpha[top:, x : x + wide] = 1
        if rng.random() < 0.3:  # a mast
            alpha[max(0, top - 46) : top, x + wide // 2 : x + wide // 2 + 2] = 1
        picture[top:, x : x + 2] *= 1.25
        _light_up(picture, rng, (x, top, wide), across // 8, light_share)
        x += wide + (int(rng.integers(0, 7)) if rng.random() < 0.5 else 0)
    return Layer.of(np.clip(picture, 0, 255), alpha)


def _light_up(
    picture: Field, rng: np.random.Generator, tower: tuple[int, int, int], pane: int, light_share: float
) -> None:
    left, top, wide = tower
    step, tall = pane + 4, max(4, pane - 1)
    favourite = colour(WINDOWS[rng.integers(len(WINDOWS))])
    for y in range(top + 8, picture.shape[0] - 22, tall + 6):
        if rng.random() < 0.12:
            continue  # a dark floor
        for x in range(left + 5, left + wide - step, step):
            if rng.random() < light_share * 0.7:
                light = favourite if rng.random() < 0.7 else colour(WINDOWS[rng.integers(len(WINDOWS))])
                picture[y : y + tall, x : x + pane] = light * rng.uniform(0.35, 1)
