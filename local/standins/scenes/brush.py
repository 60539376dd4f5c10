"""Painting tools of the scenes. Pictures are uint8 BGR [H, W, 3]; colours are written as RGB hex."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
Field = NDArray[np.float32]


def colour(code: str) -> Field:
    """BGR colour, 0 to 255, from "#rrggbb"."""
    return np.array([int(code[start : start + 2], 16) for start in (5, 3, 1)], np.float32)


def solid(width: int, height: int, code: str) -> Field:
    """One colour [H, W, 3]."""
    return np.full((height, width, 3), colour(code), np.float32)


def gradient(width: int, height: int, stops: Sequence[tuple[float, str]]) -> Field:
    """A vertical gradient [H, W, 3] through the colours at their heights (0 top to 1 bottom)."""
    places = np.linspace(0, 1, height)
    at = [place for place, _ in stops]
    ends = np.stack([colour(code) for _, code in stops])
    column = np.stack([np.interp(places, at, ends[:, channel]) for channel in range(3)], axis=1)
    return np.repeat(column[:, None].astype(np.float32), width, axis=1)


def dither(picture: Field, strength: float = 1.5, seed: int = 0) -> Picture:
    """Round to whole numbers with a little noise, so that gradients have no bands."""
    noise = np.random.default_rng(seed).normal(0, strength / 2, picture.shape[:2]).astype(np.float32)
    whole: Picture = np.clip(picture + noise[..., None] + 0.5, 0, 255).astype(np.uint8)
    return whole


def clouds(width: int, height: int, cells: tuple[int, int], seed: int, octaves: int = 5) -> Field:
    """Fractal noise [H, W] from 0 to 1 that wraps horizontally; `cells` are the largest shapes across and down."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        across, down = cells[0] << octave, cells[1] << octave
        if across > width or down > height:
            break
        grid = rng.random((down + 3, across), np.float32)
        wrapped = np.concatenate([grid[:, -2:], grid, grid[:, :2]], axis=1)
        pad = round(width / across * 2)
        smooth = cv2.resize(
            wrapped, (width + 2 * pad, round(height * (down + 3) / down)), interpolation=cv2.INTER_CUBIC
        )
        total += smooth[:height, pad : pad + width] * 0.5**octave
    low, high = np.percentile(total, [1, 99])
    return np.asarray(np.clip((total - low) / (high - low), 0, 1), np.float32)


def glow(width: int, height: int, centre: tuple[float, float], radius: float, power: float = 2.0) -> Field:
    """Light [H, W] from 1 at the centre to 0, falling off smoothly over `radius` pixels."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    distance = np.hypot(x - centre[0], y - centre[1]) / radius
    return np.asarray(np.exp(-(distance**power)), np.float32)


@dataclass(frozen=True)
class Layer:
    """A picture with soft edges: premultiplied colour, and the share of the background that stays visible."""

    paint: Picture  # [H, W, 3]
    behind: Picture  # [H, W, 3], 255 where the layer is clear

    @staticmethod
    def of(picture: Field, alpha: Field) -> Layer:
        """A layer of a picture and its cover [H, W], 0 to 1."""
        cover = np.clip(alpha, 0, 1)[..., None]
        paint = dither(picture * cover, 1.0)
        return Layer(paint, np.repeat(((1 - cover) * 255 + 0.5).astype(np.uint8), 3, axis=2))

    @property
    def width(self) -> int:
        return int(self.paint.shape[1])

    @property
    def height(self) -> int:
        return int(self.paint.shape[0])

    def widen(self, view: int) -> Layer:
        """The layer with its beginning once more at its end, so that a view of `view` pixels can wrap."""
        return Layer(np.hstack([self.paint, self.paint[:, :view]]), np.hstack([self.behind, self.behind[:, :view]]))

    def mirror(self) -> Layer:
        """The layer with left and right swapped."""
        return Layer(np.ascontiguousarray(self.paint[:, ::-1]), np.ascontiguousarray(self.behind[:, ::-1]))

    def onto(self, frame: Picture, x: int, y: int) -> None:
        """Draw the layer on the frame with its top left corner at x, y, clipped at the frame's edges."""
        left, top = max(0, x), max(0, y)
        right, bottom = min(frame.shape[1], x + self.width), min(frame.shape[0], y + self.height)
        if left < right and top < bottom:
            part = (slice(top - y, bottom - y), slice(left - x, right - x))
            _blend(frame[top:bottom, left:right], self.paint[part], self.behind[part])

    def scroll_onto(self, frame: Picture, x: float, y: int) -> None:
        """Draw a widen()ed layer over the whole width of the frame as seen from x, in whole pixels, wrapping."""
        start = int(x) % (self.width - frame.shape[1])
        self_part = slice(start, start + frame.shape[1])
        _blend(frame[y : y + self.height], self.paint[:, self_part], self.behind[:, self_part])

    def onto_subpixel(self, frame: Picture, x: float, y: float) -> None:
        """Draw the layer like onto(), at a fraction of a pixel: for slow movements."""
        whole_x, whole_y = int(np.floor(x)), int(np.floor(y))
        move = np.array([[1, 0, x - whole_x], [0, 1, y - whole_y]], np.float32)
        size = (self.width + 1, self.height + 1)
        paint = cv2.warpAffine(self.paint, move, size)
        behind = cv2.warpAffine(self.behind, move, size, borderMode=cv2.BORDER_CONSTANT, borderValue=(255, 255, 255))
        Layer(np.asarray(paint, np.uint8), np.asarray(behind, np.uint8)).onto(frame, whole_x, whole_y)


def _blend(under: Picture, paint: Picture, behind: Picture) -> None:
    cv2.multiply(under, behind, dst=under, scale=1 / 255)
    cv2.add(under, paint, dst=under)


def ridge(width: int, seed: int, roughness: float, bumps: int) -> Field:
    """A skyline of hills [W] from 0 to 1 that wraps: noise of `bumps` waves and their finer ones."""
    rng = np.random.default_rng(seed)
    x = np.linspace(0, 2 * np.pi, width, endpoint=False)
    line = np.zeros(width)
    for octave in range(9):
        for wave in range(bumps << octave, (bumps << octave) + 3):
            line += roughness**octave / 1.7 * np.sin(wave * x + rng.uniform(0, 2 * np.pi)) * rng.uniform(0.5, 1)
    line -= line.min()
    return np.asarray(line / line.max(), np.float32)


def silhouette(points: Sequence[tuple[float, float]], width: int, height: int, code: str) -> Layer:
    """A filled outline (in pixels) with smooth edges."""
    cover = np.zeros((height * 4, width * 4), np.uint8)
    cv2.fillPoly(cover, [np.round(np.array(points) * 4).astype(np.int32)], 255)
    alpha = cv2.resize(cover, (width, height), interpolation=cv2.INTER_AREA) / 255
    return Layer.of(solid(width, height, code), np.asarray(alpha, np.float32))


def dot(radius: float, code: str, soft: float = 0.35, strength: float = 1.0) -> Layer:
    """A round light or drop whose edge is soft over a share of its radius."""
    side = int(np.ceil(radius * 2 + 3))
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    distance = np.hypot(x - (side - 1) / 2, y - (side - 1) / 2)
    alpha = np.clip((radius - distance) / max(radius * soft, 0.7) + 0.5, 0, 1) * strength
    return Layer.of(solid(side, side, code), np.asarray(alpha, np.float32))
