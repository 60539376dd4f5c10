"""A train through green hills; drawn in landscape."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Field, Layer, Picture, clouds, colour, dither, dot, glow, gradient, ridge

LINE = 520  # the rails' height
# Foot, height, colours at crest and foot, speed (pixels a second), bumps.
HILLS = (
    (430, 120, "#9cc3c8", "#c4dcc9", 15, 2),
    (480, 120, "#7fb48f", "#a9cf9a", 30, 2),
    (540, 110, "#5a9c5c", "#8cc068", 60, 3),
)
CARRIAGE, COUNT = 178, 4  # length in pixels with the coupling, carriages


class Train:
    """Hills, woods and a field pass; a red train with steam keeps its place a while and draws ahead."""

    def __init__(self, width: int, height: int) -> None:
        sky = gradient(width, height, [(0, "#3f8fdc"), (0.35, "#8cc4f2"), (0.58, "#dff1ee"), (1, "#dff1ee")])
        sky += colour("#fff2c0") * glow(width, height, (width * 0.5, 120), 380, 1.2)[..., None] * 0.35
        self._sky = dither(np.clip(sky, 0, 255))
        body = clouds(width * 2, 260, (6, 4), 51, 6) * np.sin(np.linspace(0.2, 3.0, 260, dtype=np.float32))[:, None]
        alpha = np.clip((body - 0.5) * 3.2, 0, 0.95)
        white = gradient(width * 2, 260, [(0, "#ffffff"), (1, "#dfe9f5")])
        self._clouds = Layer.of(white, np.asarray(alpha, np.float32)).widen(width)
        self._hills = [(_hill(width, number).widen(width), HILLS[number]) for number in range(len(HILLS))]
        self._field = _field(width, height - LINE + 26).widen(width)
        self._carriage, self._engine = _carriage("#c8372d"), _engine()
        self._steam = [dot(12 + 5 * age, "#ffffff", 1.2, 0.5 - age * 0.04) for age in range(11)]
        self._poles = _poles(width, height).widen(width)

    def __call__(self, time: float) -> Picture:
        frame = self._sky.copy()
        self._clouds.scroll_onto(frame, 12 * time, 20)
        for layer, (foot, _, _, _, speed, _) in self._hills:
            layer.scroll_onto(frame, speed * time, foot - layer.height + 40)
        self._field.scroll_onto(frame, 150 * time, LINE - 26)
        front = 640 + 26 * time
        for age in range(44):
            old = age / 4 + (time * 4 % 1) / 4
            self._steam[int(old)].onto_subpixel(
                frame, front + 96 - old * 46 + 9 * np.sin(age * 2.4), LINE - 108 - old * 9 - 6 * np.sin(age * 1.7)
            )
        for number in range(COUNT):
            bounce = np.sin(time * 9 + number * 1.9) * 0.7
            self._carriage.onto_subpixel(
                frame, front - (number + 1) * CARRIAGE, LINE - self._carriage.height + 8 + bounce
            )
        self._engine.onto_subpixel(frame, front, LINE - self._engine.height + 8 + np.sin(time * 9) * 0.7)
        self._poles.scroll_onto(frame, 330 * time, 0)
        return frame


def _hill(view: int, number: int) -> Layer:
    _, tall, crest, foot, _, bumps = HILLS[number]
    width, height = view * 2, tall + 40
    line = ridge(width, 110 + number, 0.33, bumps) * tall
    row = np.arange(height, dtype=np.float32)[:, None]
    woods = clouds(width, height, (90, 10), 120 + number, 3)
    alpha = np.clip(row - (tall - line)[None] + 0.5 + (woods - 0.5) * number * 5, 0, 1)
    picture = gradient(width, height, [(0, crest), (1, foot)])
    picture *= (1 - 0.2 * np.clip(woods - 0.45, 0, 1) * 2)[..., None]
    return Layer.of(np.clip(picture, 0, 255), np.asarray(alpha, np.float32))


def _field(view: int, height: int) -> Layer:
    width = view * 2
    picture: Field = gradient(width, height, [(0, "#8fbf4d"), (0.3, "#b9cf57"), (1, "#5f9a3c")])
    picture *= (0.82 + 0.36 * clouds(width, height, (80, 26), 130, 4))[..., None]
    rng = np.random.default_rng(33)
    for _ in range(900):  # flowers
        row = int(44 + rng.random() ** 0.7 * (height - 50))
        size = 1 + row * 4 // height
        tint = colour(("#ffffff", "#ffdf3f", "#ff5d5d", "#c86bff")[rng.integers(4)])
        column = int(rng.integers(4, width - 8))
        picture[row : row + size, column : column + size + 1] = tint
    picture[18:40] = colour("#8d7a63") * (0.8 + 0.4 * clouds(width, 22, (240, 4), 3, 2))[..., None]
    for x in range(0, width, 20):
        picture[27:33, x : x + 11] = colour("#5a4330")
    picture[24:27] = colour("#d9dee4")
    alpha = np.ones((height, width), np.float32)
    alpha[:18] = np.clip(clouds(width, 18, (200, 2), 9, 2) * 2 - 1 + np.linspace(-0.4, 2, 18)[:, None], 0, 1)
    return Layer.of(np.clip(picture, 0, 255), alpha)


def _canvas(width: int, height: int) -> tuple[Picture, Picture]:
    return np.zeros((height * 4, width * 4, 3), np.uint8), np.zeros((height * 4, width * 4), np.uint8)


def _box(canvas: tuple[Picture, Picture], at: tuple[int, int, int, int], code: str, round_by: int = 0) -> None:
    """A filled box from x, y to x, y with round corners."""
    for target, tint in ((canvas[0], colour(code).tolist()), (canvas[1], 255)):
        x0, y0, x1, y1 = (place * 4 for place in at)
        bend = round_by * 4
        cv2.rectangle(target, (x0 + bend, y0), (x1 - bend, y1), tint, -1)
        cv2.rectangle(target, (x0, y0 + bend), (x1, y1 - bend), tint, -1)
        for x in (x0 + bend, x1 - bend):
            for y in (y0 + bend, y1 - bend):
                cv2.circle(target, (x, y), bend, tint, -1)


def _wheel(canvas: tuple[Picture, Picture], x: int, y: int, radius: int) -> None:
    for target, tint in ((canvas[0], (46, 38, 36)), (canvas[1], 255)):
        cv2.circle(target, (x * 4, y * 4), radius * 4, tint, -1)
    cv2.circle(canvas[0], (x * 4, y * 4), radius * 2, (150, 150, 155), -1)


def _finish(canvas: tuple[Picture, Picture]) -> Layer:
    size = (canvas[1].shape[1] // 4, canvas[1].shape[0] // 4)
    cover = cv2.resize(canvas[1], size, interpolation=cv2.INTER_AREA) / 255
    paint = cv2.resize(canvas[0], size, interpolation=cv2.INTER_AREA) / np.maximum(cover, 0.1)[..., None]
    return Layer.of(np.asarray(np.clip(paint, 0, 255), np.float32), np.asarray(cover, np.float32))


def _carriage(code: str) -> Layer:
    canvas = _canvas(CARRIAGE + 4, 86)
    _box(canvas, (0, 66, CARRIAGE + 3, 70), "#2c2a33")
    _box(canvas, (6, 8, CARRIAGE - 6, 68), code, 7)
    _box(canvas, (4, 6, CARRIAGE - 4, 15), "#5b2620", 4)
    _box(canvas, (6, 46, CARRIAGE - 6, 50), "#f6e3b4")
    for x in range(16, CARRIAGE - 30, 25):
        _box(canvas, (x, 22, x + 18, 41), "#fff3c9", 3)
        _box(canvas, (x + 2, 24, x + 16, 31), "#cfe6f2", 2)
    for x in (28, 50, CARRIAGE - 50, CARRIAGE - 28):
        _wheel(canvas, x, 74, 9)
    return _finish(canvas)


def _engine() -> Layer:
    canvas = _canvas(200, 104)
    _box(canvas, (0, 84, 186, 89), "#2c2a33")
    _box(canvas, (58, 36, 168, 76), "#1f5c4a", 14)
    _box(canvas, (4, 20, 66, 84), "#1a4d3e", 5)
    _box(canvas, (0, 14, 72, 22), "#5b2620", 3)
    _box(canvas, (16, 30, 46, 52), "#fff3c9", 4)
    _box(canvas, (136, 8, 152, 40), "#23262e", 2)
    _box(canvas, (131, 4, 157, 12), "#c9a13b", 3)
    _box(canvas, (100, 24, 116, 38), "#c9a13b", 6)
    _box(canvas, (58, 54, 168, 58), "#c9a13b")
    _box(canvas, (160, 72, 190, 86), "#c8372d", 3)
    _box(canvas, (164, 44, 176, 56), "#fff7d6", 5)
    for x, radius in ((34, 14), (72, 14), (110, 14), (146, 9), (170, 9)):
        _wheel(canvas, x, 102 - radius, radius)
    return _finish(canvas)


def _poles(view: int, height: int) -> Layer:
    width = view * 2
    cover = np.zeros((height, width), np.uint8)
    tops = list(range(200, width, width // 3))
    for x in tops:
        cv2.rectangle(cover, (x, 236), (x + 8, height), 255, -1)
        cv2.rectangle(cover, (x - 30, 256), (x + 38, 262), 255, -1)
    columns = np.arange(width)
    for arm in (-26, 34):
        for start, end in zip([tops[-1] - width, *tops], [*tops, tops[0] + width], strict=True):
            part = (columns - start - arm) / (end - start)
            visible = (part >= 0) & (part <= 1)
            line = np.stack([columns[visible] * 8, (252 + 190 * part[visible] * (1 - part[visible])) * 8], axis=1)
            cv2.polylines(cover, [np.round(line).astype(np.int32)], False, 150, 2, cv2.LINE_AA, 3)
    alpha = cv2.GaussianBlur(cover, (5, 1), 0) / 255  # passing quickly
    return Layer.of(np.full((height, width, 3), colour("#3a3029"), np.float32), np.asarray(alpha, np.float32))
