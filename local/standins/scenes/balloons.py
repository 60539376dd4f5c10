"""Hot-air balloons over a valley in the morning; drawn in landscape."""

from __future__ import annotations

import cv2
import numpy as np

from local.standins.scenes.brush import Layer, Picture, clouds, colour, dither, glow, gradient, ridge, solid

# Colours of the cloth, place (pixels), size (1 is 250 pixels high), drift in pixels a second across and up.
FLEET = (
    (("#e7ab4b", "#8a4f7d"), (150, 330), 0.26, (4, 1)),
    (("#6fb7c9", "#f5efe0"), (880, 300), 0.30, (5, 1.5)),
    (("#d9647a", "#ffe3c4"), (1100, 150), 0.42, (6, 2)),
    (("#4f86c6", "#ffd166"), (260, 150), 0.55, (8, 3)),
    (("#ef6f4f", "#fff0d0"), (560, 90), 0.95, (11, 4)),
    (("#2f9c95", "#f7c548"), (900, 330), 0.78, (10, -3)),
)


class Balloons:
    """Six balloons float at their distances over hills in the haze."""

    def __init__(self, width: int, height: int) -> None:
        sky = gradient(width, height, [(0, "#7fb2e5"), (0.4, "#cfd8ea"), (0.62, "#ffd9bd"), (0.75, "#ffe9c9")])
        sky += (colour("#fff3d0") - sky) * glow(width, height, (width * 0.5, 470), 420, 1.2)[..., None] * 0.7
        body = clouds(width * 2, 300, (5, 5), 71, 6) * np.sin(np.linspace(0.1, 3.0, 300, dtype=np.float32))[:, None]
        self._sky = dither(np.clip(sky, 0, 255))
        alpha = np.asarray(np.clip((body - 0.5) * 2.2, 0, 0.8), np.float32)
        self._clouds = Layer.of(solid(width * 2, 300, "#fff6ee"), alpha).widen(width)
        self._hills = [
            (_hill(width, number, crest, foot).widen(width), bottom, speed)
            for number, (crest, foot, bottom, speed) in enumerate(
                (("#c9b3c6", "#f3d3c2", 560, 6), ("#94a088", "#d8c9a8", 640, 12), ("#5f7d55", "#a5ad72", 720, 25))
            )
        ]
        self._balloons = [(_balloon(cloth, size), place, drift) for cloth, place, size, drift in FLEET]

    def __call__(self, time: float) -> Picture:
        frame = self._sky.copy()
        self._clouds.scroll_onto(frame, 12 * time, 10)
        for number, (layer, bottom, speed) in enumerate(self._hills):
            layer.scroll_onto(frame, speed * time, bottom - layer.height)
            if bottom < frame.shape[0]:
                frame[bottom:] = layer.paint[-1, 0]
            for index, (balloon, (x, y), (across, up)) in enumerate(self._balloons):
                if min(index // 2, 2) == number:
                    bob = 4 * np.sin(time * 0.7 + index * 1.9)
                    balloon.onto_subpixel(frame, x + across * time, y - up * time + bob)
        return frame


def _hill(view: int, number: int, crest: str, foot: str) -> Layer:
    width, tall = view * 2, 150
    line = ridge(width, 140 + number, 0.36, 2) * (tall - 50) + 20
    row = np.arange(tall, dtype=np.float32)[:, None]
    woods = clouds(width, tall, (120, 14), 150 + number, 3)
    alpha = np.clip(row - (tall - 20 - line)[None] + 0.5 + (woods - 0.5) * number * 4, 0, 1)
    picture = gradient(width, tall, [(0.2, crest), (1, foot)])
    fade = np.clip(1 - row / tall, 0, 1)  # the foot is one colour, for what lies below
    picture *= (1 - 0.22 * np.clip(woods - 0.4, 0, 1) * fade)[..., None]
    return Layer.of(np.clip(picture, 0, 255), np.asarray(alpha, np.float32))


def _balloon(cloth: tuple[str, str], size: float) -> Layer:
    """Stripes that narrow toward the edges, lit from the left, over a basket."""
    tall, wide = round(250 * size), round(190 * size)
    scale = 3
    v, u = np.mgrid[0 : 1 : tall * scale * 1j, -1 : 1 : wide * scale * 1j].astype(np.float32)
    top = np.sqrt(np.clip(1 - ((v - 0.36) / 0.36) ** 2, 0, 1))
    low = 0.13 + 0.87 * np.cos(np.clip((v - 0.36) / 0.42, 0, 1) * 1.57) ** 0.85
    half = np.where(v < 0.36, top, low) * 0.96
    envelope = (np.abs(u) < half) & (v < 0.78)
    turn = np.arcsin(np.clip(u / np.maximum(half, 0.02), -1, 1))
    stripes = (np.floor((turn + np.pi / 2) / np.pi * 9) % 2)[..., None]
    picture = colour(cloth[0]) * (1 - stripes) + colour(cloth[1]) * stripes
    band = ((v > 0.40) & (v < 0.47))[..., None]
    picture = np.where(band, colour(cloth[1]) * (1 - stripes) + colour(cloth[0]) * stripes, picture)
    picture *= (0.74 + 0.34 * np.cos(turn + 0.7))[..., None]
    ropes = (v >= 0.78) & (v < 0.90) & (np.abs(np.abs(u) - (0.115 - (v - 0.78) * 0.2)) < 0.008)
    basket = (v >= 0.89) & (np.abs(u) < 0.095)
    picture[ropes | basket] = colour("#6b4a2f")
    picture[basket & (v < 0.91)] = colour("#3f2a1a")
    alpha = cv2.resize((envelope | ropes | basket).astype(np.float32), (wide, tall), interpolation=cv2.INTER_AREA)
    picture = picture * np.asarray(envelope | ropes | basket)[..., None]
    small = cv2.resize(picture.astype(np.float32), (wide, tall), interpolation=cv2.INTER_AREA)
    small /= np.maximum(alpha, 0.1)[..., None]
    haze = 0.42 * (1 - min(1.0, size * 1.1))
    small = small * (1 - haze) + colour("#f2dfd6") * haze
    return Layer.of(np.asarray(np.clip(small, 0, 255), np.float32), np.asarray(alpha, np.float32))
