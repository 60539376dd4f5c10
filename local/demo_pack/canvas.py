"""Anti-aliased polygons on premultiplied BGRA, with sub-pixel corners; the only drawing primitives the faces need."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]
Bytes = NDArray[np.uint8]

SUBPIXEL_BITS = 4

_TURN = np.linspace(0.0, 2 * np.pi, 36, endpoint=False)
COS, SIN = np.cos(_TURN).astype(np.float32), np.sin(_TURN).astype(np.float32)


def colour(code: str) -> Floats:
    """float32 BGR in [0, 255] from '#rrggbb'."""
    return np.array([int(code[i : i + 2], 16) for i in (5, 3, 1)], np.float32)


def palette(codes: str) -> Floats:
    """float32 [n, 3] BGR from '#rrggbb' codes separated by blanks."""
    return np.stack([colour(code) for code in codes.split()])


def vector(values: ArrayLike) -> Floats:
    """float32 array of the values."""
    return np.asarray(values, np.float32)


def _fixed_point(points: ArrayLike) -> NDArray[np.int32]:
    return np.round(np.asarray(points) * (1 << SUBPIXEL_BITS)).astype(np.int32)


class Canvas:
    """A transparent picture. All points are float [n, 2] (x, y) in pixels, all colours BGR in [0, 255]."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.pixels: Bytes = np.zeros((height, width, 4), np.uint8)

    def fill(self, points: Floats, bgr: Floats, *holes: Floats) -> None:
        """Cover a polygon, but for its holes, with an opaque colour."""
        if len(points) > 2:
            rings = [_fixed_point(ring) for ring in (points, *holes)]
            cv2.fillPoly(self.pixels, rings, (*map(float, bgr), 255.0), cv2.LINE_AA, SUBPIXEL_BITS)

    def shade(
        self, points: Floats, bgr: Floats, opacity: float = 1.0, blur: float = 0.0, inside: Floats | None = None
    ) -> None:
        """Tint what is already drawn under a polygon, with soft edges of `blur` pixels, within the polygon `inside`."""
        window = self._window(points if inside is None else inside, 2 + int(2 * blur))
        if window is None:
            return
        mask = self._mask(points, window)
        if blur > 0.3:
            mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), blur), np.uint8)
        if inside is not None:
            mask = np.minimum(mask, self._mask(inside, window))
        self.tint(window, mask * np.float32(opacity / 255.0), bgr)

    def rim(self, points: Floats, core: Floats, bgr: Floats, opacity: float, blur: float) -> None:
        """Tint a polygon where its blurred `core` does not reach: a soft shadow along the edge."""
        window = self._window(points, 2)
        if window is None:
            return
        core_mask = cv2.GaussianBlur(self._mask(core, window), (0, 0), max(0.6, blur)).astype(np.float32)
        strength = self._mask(points, window).astype(np.float32) * (1 - core_mask / 255) * np.float32(opacity / 255.0)
        self.tint(window, vector(strength), bgr)

    def tint(self, window: tuple[int, int, int, int], strength: Floats, bgr: Floats) -> None:
        """Blend a colour into the window (x0, y0, x1, y1) by strength [h, w] in [0, 1], keeping the coverage."""
        x0, y0, x1, y1 = window
        area = self.pixels[y0:y1, x0:x1]
        strength = strength[..., None]
        covered = area[..., 3:].astype(np.float32) * (1 / 255)
        mixed = area[..., :3] * (1 - strength) + np.asarray(bgr, np.float32) * strength * covered
        area[..., :3] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)

    def _window(self, points: Floats, margin: int) -> tuple[int, int, int, int] | None:
        x0, y0 = (int(v) for v in np.maximum(np.floor(points.min(0)) - margin, 0))
        x1, y1 = (int(v) for v in np.minimum(np.ceil(points.max(0)) + margin + 1, (self.width, self.height)))
        return (x0, y0, x1, y1) if x1 > x0 and y1 > y0 else None

    @staticmethod
    def _mask(points: Floats, window: tuple[int, int, int, int]) -> Bytes:
        x0, y0, x1, y1 = window
        mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
        cv2.fillPoly(mask, [_fixed_point(points - vector([x0, y0]))], (255.0,), cv2.LINE_AA, SUBPIXEL_BITS)
        return mask


def ribbon(points: Floats, thickness: float, taper: float = 0.75) -> Floats:
    """Polygon [2n, 2] around a line [n, 2]: full thickness (pixels) in the middle, thinner by `taper` towards the
    ends."""
    along = np.gradient(points, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1)
    across /= np.linalg.norm(across, axis=1, keepdims=True) + 1e-6
    profile = 1 - taper * (1 - np.sin(np.linspace(0.15, np.pi - 0.15, len(points))))
    offset = across * (profile * max(thickness, 0.8) / 2)[:, None]
    return np.concatenate([points + offset, (points - offset)[::-1]]).astype(np.float32)


def smooth(points: Floats | Sequence[Sequence[float]], steps: int = 6) -> Floats:
    """Closed Catmull-Rom curve [n * steps, k] through the points [n, k]."""
    knots = np.asarray(points, np.float32)
    before, here, after, beyond = (np.roll(knots, shift, 0)[:, None] for shift in (1, 0, -1, -2))
    t = np.linspace(0, 1, steps, endpoint=False, dtype=np.float32)[None, :, None]
    curve = (
        2 * here
        + (after - before) * t
        + (2 * before - 5 * here + 4 * after - beyond) * t**2
        + (3 * here - before - 3 * after + beyond) * t**3
    ) / 2
    return np.asarray(curve.reshape(-1, knots.shape[1]), np.float32)
