"""A reef with fish."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Layer, Picture, clouds, colour, dither, dot, gradient, ridge, solid

SAND = 1090
BEATS = 8  # pictures of a fish in one stroke of its tail
# Body, stripe and fin of a kind, length in pixels, how many, speed.
KINDS = (
    ("#ff9a3c", "#fff3e0", "#e8641b", 92, 4, 58),
    ("#ffd93b", "#2b6cb0", "#f0b400", 70, 7, 84),
    ("#58d0f5", "#1b4f9c", "#2a86d1", 44, 14, 120),
)


class Reef:
    """Beams of light, schools of fish, weeds that sway, bubbles."""

    def __init__(self, width: int, height: int) -> None:
        water = gradient(width, height, [(0, "#6fe3e6"), (0.18, "#23b3d0"), (0.55, "#0d6aa8"), (0.85, "#0a3c78")])
        self._water = dither(water)
        self._floor = _floor(width, height - SAND + 150)
        self._far = _rocks(width, 330, "#0f4f8c", 3)
        x, y = np.meshgrid(np.linspace(0, 1, 90), np.linspace(0, 1, 160))
        self._angle = ((x - 0.35) / (y * 0.9 + 0.35)).astype(np.float32)
        self._fade = (np.clip(1 - y * 1.15, 0, 1) ** 1.3).astype(np.float32)
        self._beam: Field = colour("#d8fff6")
        rng = np.random.default_rng(6)
        self._fish = [
            (
                _fish(kind, near),
                kind[5] * near * rng.uniform(0.85, 1.15),
                rng.uniform(0, 1100),
                rng.uniform(230, 960),
                near,
            )
            for kind in KINDS
            for near in np.linspace(0.6, 1.25, kind[4])
        ]
        self._fish.sort(key=lambda fish: fish[4])
        self._bubbles = [dot(radius, "#e9ffff", 0.6, 0.55) for radius in (3, 5, 8)]
        self._weeds = [(rng.uniform(0, width), rng.uniform(120, 330), rng.uniform(0, 6)) for _ in range(26)]

    def __call__(self, time: float) -> Picture:
        frame = self._water.copy()
        beams = np.zeros_like(self._fade)
        for waves, speed in ((9.0, 0.5), (15.0, -0.8), (23.0, 0.65)):
            beams += np.sin(self._angle * waves + speed * time)
        light = np.clip(beams - 0.4, 0, 2)[..., None] * self._fade[..., None] * self._beam * 0.2
        small = np.clip(light, 0, 255).astype(np.uint8)
        cv2.add(frame, cv2.resize(small, (frame.shape[1], frame.shape[0])), dst=frame)
        self._far.onto(frame, 0, SAND - 230)
        for number, (pictures, speed, start, depth, near) in enumerate(self._fish):
            if near < 0.95:
                self._swim(frame, time, number, pictures, speed, start, depth)
        self._floor.onto(frame, 0, SAND - 150)
        self._sway(frame, time)
        for number, (pictures, speed, start, depth, near) in enumerate(self._fish):
            if near >= 0.95:
                self._swim(frame, time, number, pictures, speed, start, depth)
        for index in range(26):
            rise = (index * 97 + time * (70 + index % 5 * 22)) % 1400
            x = 130 + index % 3 * 210 + 14 * np.sin(time * 2 + index * 1.3) + index % 7 * 6
            self._bubbles[index % 3].onto_subpixel(frame, x, 1230 - rise)
        return frame

    def _swim(
        self, frame: Picture, time: float, number: int, pictures: list[Layer], speed: float, start: float, depth: float
    ) -> None:
        across = (start + speed * time) % (frame.shape[1] + 260) - 130
        to_the_left = number % 3 == 0
        beat = pictures[int(time * speed / 7 + number) % BEATS]
        x = frame.shape[1] - across - beat.width if to_the_left else across
        fish = beat if to_the_left else beat.mirror()
        fish.onto_subpixel(frame, x, depth + 16 * np.sin(time * 0.9 + number))

    def _sway(self, frame: Picture, time: float) -> None:
        for number, (x, tall, phase) in enumerate(self._weeds):
            up = np.linspace(0, 1, 12)
            bend = (10 + 34 * up) * up * np.sin(time * 1.1 + phase - up * 2.2)
            foot = SAND + 90 + number % 4 * 22
            points = np.stack([x + bend, foot - up * tall], axis=1)
            tint = ((70, 120, 24), (92, 150, 40), (110, 84, 150))[number % 3]
            for part in range(3):
                line = np.round(points[part * 4 : part * 4 + 5] * 8).astype(np.int32)
                cv2.polylines(frame, [line], False, tint, 11 - part * 3, cv2.LINE_AA, 3)


def _fish(kind: tuple[str, str, str, int, int, int], near: float) -> list[Layer]:
    """A fish that looks to the left, in each picture of a stroke."""
    body, stripe, fin, length, _, _ = kind
    scale, pictures = 4, []
    size = length * near
    wide, tall = int(size * 1.5) + 4, int(size) + 4
    for beat in range(BEATS):
        swing = np.sin(2 * np.pi * beat / BEATS)
        paint = np.zeros((tall * scale, wide * scale, 3), np.uint8)
        cover = np.zeros(paint.shape[:2], np.uint8)
        unit, middle = size * scale, (int(size * 0.55 * scale), tall * scale // 2)

        def shape(points: list[tuple[float, float]], code: str, paint: Picture = paint, cover: Picture = cover,
                  unit: float = unit, middle: tuple[int, int] = middle) -> None:  # fmt: skip
            outline = np.round(np.array(points) * unit + middle).astype(np.int32)
            cv2.fillPoly(paint, [outline], colour(code).tolist())
            cv2.fillPoly(cover, [outline], 255)

        tail = 0.78 - 0.06 * abs(swing)
        shape([(0.36, 0), (tail, -0.25 + 0.1 * swing), (tail - 0.1, 0.02 * swing), (tail, 0.25 + 0.1 * swing)], fin)
        shape([(-0.15, -0.2), (0.05, -0.42), (0.3, -0.16)], fin)
        shape([(-0.02, 0.2), (0.12, 0.37), (0.24, 0.14)], fin)
        centre, axes = (middle[0], middle[1]), (int(0.46 * unit), int(0.25 * unit))
        cv2.ellipse(paint, centre, axes, 0, 0, 360, colour(body).tolist(), -1)
        cv2.ellipse(cover, centre, axes, 0, 0, 360, 255, -1)
        inside = np.zeros_like(cover)
        cv2.ellipse(inside, centre, axes, 0, 0, 360, 255, -1)
        bands = np.zeros_like(cover)
        for place in (-0.2, 0.1):
            band, half = (int(middle[0] + place * unit), middle[1]), (int(0.055 * unit), int(0.3 * unit))
            cv2.ellipse(bands, band, half, 0, 0, 360, 255, -1)
        paint[(bands > 0) & (inside > 0)] = colour(stripe).astype(np.uint8)
        shade = np.clip(1.14 - np.abs(np.linspace(-0.35, 1, tall * scale)) * 0.45, 0, 1.12)[:, None, None]
        eye = (int(middle[0] - 0.33 * unit), int(middle[1] - 0.05 * unit))
        picture = np.clip(paint * shade, 0, 255).astype(np.uint8)
        cv2.circle(picture, eye, int(0.055 * unit), (255, 255, 255), -1)
        cv2.circle(picture, eye, int(0.032 * unit), (30, 15, 10), -1)
        paint_small = cv2.resize(picture, (wide, tall), interpolation=cv2.INTER_AREA).astype(np.float32)
        cover_small = cv2.resize(cover, (wide, tall), interpolation=cv2.INTER_AREA) / 255
        whole = paint_small / np.maximum(cover_small, 0.2)[..., None]
        haze = min(1.0, 0.45 + near * 0.5)
        whole = whole * haze + colour("#1584b8") * (1 - haze)
        pictures.append(Layer.of(np.asarray(np.clip(whole, 0, 255), np.float32), np.asarray(cover_small, np.float32)))
    return pictures


def _floor(width: int, height: int) -> Layer:
    line = ridge(width, 8, 0.35, 1) * 60 + 50
    row = np.arange(height, dtype=np.float32)[:, None]
    alpha = np.clip(row - (150 - line)[None], 0, 1)
    sand = gradient(width, height, [(0, "#3f8fa8"), (0.3, "#7fa98f"), (0.6, "#6c9482"), (1, "#2f5a6b")])
    sand *= (0.86 + 0.28 * clouds(width, height, (30, 30), 4, 4))[..., None]
    return Layer.of(np.clip(sand, 0, 255), np.asarray(alpha, np.float32))


def _rocks(width: int, height: int, code: str, seed: int) -> Layer:
    line = ridge(width, seed, 0.55, 2) * (height - 90)
    row = np.arange(height, dtype=np.float32)[:, None]
    alpha = np.clip((row - (height - 80 - line)[None]) / 2, 0, 1) * 0.8
    return Layer.of(solid(width, height, code), np.asarray(alpha, np.float32))
