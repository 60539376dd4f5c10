"""The colours of a GIF frame whose faces were replaced.

What no swap touched keeps its colours exactly. Faces get the meme's own colours where these are rich enough, and else
more colours in the places that the frame does not need.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.media.moving.canvas import OPAQUE, Canvas
from layers.media.picture import Pixels

COLORS = 256  # of a frame at most
_POOR = 4.0  # levels of mean error over the faces from which on their frame gets colours for them
_FACE_COLORS = 128  # at most
_LEAST_FACE_COLORS = 48  # for which rare colours of the frame give way
_DITHER = 6.0  # levels, up or down
_SAMPLES = 2048  # pixels from which colours for faces are chosen
_RGB = np.uint32(0xFFFFFF)
_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32)
_OFFSETS = ((_BAYER + 0.5) / 16 * 2 - 1) * _DITHER


@dataclass(frozen=True)
class Palette:
    """The colours of one frame, opaque, uint32 [up to 256], and the index that leaves what is there."""

    colors: Canvas
    transparent: int | None
    is_exact: bool  # whether all colours are there that had to be


class ColorIndex:
    """Finds the index of a colour in a table, by a table of all colours, of which little is ever touched."""

    def __init__(self) -> None:
        self._indices = np.zeros(1 << 24, np.uint8)

    def find(self, pixels: Canvas, colors: Canvas, usable: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.bool_]]:
        """The indices of pixels, uint8 [n], among the usable ones of up to 256 colours, and whether they are right."""
        candidates = np.flatnonzero(usable)
        if not len(candidates):
            return np.zeros(len(pixels), np.uint8), np.zeros(len(pixels), bool)
        self._indices[colors[candidates] & _RGB] = candidates
        indices = np.minimum(self._indices[pixels & _RGB], np.uint8(len(colors) - 1))  # others may be left from before
        return indices, (colors[indices] == pixels) & usable[indices]


class DitherTable:
    """Finds the colours that resemble pixels, by cells of two levels each way, each of which is looked up once.

    A face has more pixels than cells, and most frames have the palette of the one before. The cell is finer than the
    dither, so nobody sees it.
    """

    def __init__(self) -> None:
        self._colors = b""
        self._indices = np.full(1 << 21, -1, np.int16)

    def map(self, palette: Palette, pixels: Canvas, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Pixels:
        """The indices, uint8 [n], of colours that resemble pixels at those places, by ordered dither."""
        candidates = np.flatnonzero(_usable(palette))
        colors = palette.colors[candidates].tobytes()
        if colors != self._colors:
            self._colors = colors
            self._indices.fill(-1)
        levels = _levels(pixels)
        levels += _OFFSETS[rows % 4, columns % 4, None]
        cells = np.clip(levels, 0, 255, out=levels).astype(np.int32) >> 1
        cells = cells[:, 0] | cells[:, 1] << 7 | cells[:, 2] << 14
        is_new = np.zeros(len(self._indices), bool)
        is_new[cells] = True
        new = np.flatnonzero(is_new & (self._indices < 0))
        middles = np.stack([new & 127, new >> 7 & 127, new >> 14], axis=1).astype(np.float32) * 2 + 1
        self._indices[new] = _find_nearest(middles, palette.colors[candidates])
        return np.asarray(candidates[self._indices[cells]], np.uint8)


class PaletteChooser:
    """Chooses the colours of one frame after another; those for faces stay the same while they are good enough."""

    def __init__(self) -> None:
        self._face_colors = np.zeros(0, np.uint32)
        self._index = ColorIndex()

    def choose(
        self, own: Canvas, own_transparent: int | None, exact: Canvas, faces: Canvas, *, transparency: bool
    ) -> Palette:
        """Colours for a frame.

        `own` are the meme's for this frame in their order, `exact` the pixels whose colours must be there, `faces`
        those of faces; `transparency`: whether an index has to leave pixels alone.
        """
        needed, counts = self._count(exact, own)
        palette = _arrange(own, own_transparent, needed, np.zeros(0, np.uint32), transparency)
        room = COLORS - transparency
        if palette is not None and (not len(faces) or _mean_error(faces, _candidates(palette)) <= _POOR):
            return palette
        if not len(faces):
            return _replace_rare(needed, counts, self._face_colors[:0], room, transparency)
        free = room - len(needed)
        wanted = max(min(free, _FACE_COLORS), _LEAST_FACE_COLORS)
        if len(self._face_colors) > wanted or not self._suit(faces):
            self._face_colors = cut_median(faces, wanted)
        if len(self._face_colors) <= free:
            grown = _arrange(own, own_transparent, needed, self._face_colors, transparency)
            assert grown is not None
            return grown
        return _replace_rare(needed, counts, self._face_colors, room, transparency)

    def map_exactly(self, palette: Palette, pixels: Canvas) -> Pixels:
        """The index of each pixel's colour, uint8 [n]: the nearest one where it is not there."""
        usable = _usable(palette)
        indices, right = self._index.find(pixels, palette.colors, usable)
        if not right.all():
            colors, inverse = np.unique(pixels[~right], return_inverse=True)
            candidates = np.flatnonzero(usable)
            indices[~right] = candidates[_find_nearest(_levels(colors), palette.colors[candidates])][inverse]
        return indices

    def _count(self, pixels: Canvas, own: Canvas) -> tuple[Canvas, NDArray[np.int64]]:
        """The colours of pixels, each once, and how often each is there; most are the meme's own."""
        indices, right = self._index.find(pixels, own, np.ones(len(own), bool))
        counts = np.bincount(indices[right], minlength=len(own))[: len(own)]
        used = np.flatnonzero(counts)
        others, other_counts = np.unique(pixels[~right], return_counts=True)
        return np.concatenate((own[used], others)), np.concatenate((counts[used], other_counts))

    def _suit(self, faces: Canvas) -> bool:
        return len(self._face_colors) > 0 and _mean_error(faces, self._face_colors) <= _POOR


def cut_median(pixels: Canvas, count: int) -> Canvas:
    """At most `count` colours that stand for those of the pixels, by median cut (Heckbert, 1982)."""
    step = max(1, len(pixels) // _SAMPLES)
    boxes = [_levels(pixels[::step])]
    while len(boxes) < count:
        spreads = [float(np.ptp(box, axis=0).max()) * len(box) ** 0.5 for box in boxes]
        widest = int(np.argmax(spreads))
        if not spreads[widest]:
            break
        box = boxes.pop(widest)
        axis = int(np.argmax(np.ptp(box, axis=0)))
        box = box[np.argsort(box[:, axis], kind="stable")]
        middle = int(np.searchsorted(box[:, axis], box[len(box) // 2, axis], side="left")) or int(
            np.searchsorted(box[:, axis], box[0, axis], side="right")
        )
        boxes += [box[:middle], box[middle:]]
    means = np.rint([box.mean(axis=0) for box in boxes]).astype(np.uint32)
    return np.unique(OPAQUE | means[:, 2] << 16 | means[:, 1] << 8 | means[:, 0])


def _arrange(
    own: Canvas, own_transparent: int | None, needed: Canvas, more: Canvas, transparency: bool
) -> Palette | None:
    """The meme's own colours where they were, with the others in places that nothing needs; None if all is full."""
    colors = own.copy()
    keeps = np.isin(colors, needed)
    if own_transparent is not None and own_transparent < len(colors):
        keeps[own_transparent] = False
    _, first = np.unique(np.where(keeps, colors, 0), return_index=True)
    once = np.zeros(len(colors), bool)
    once[first] = True
    keeps &= once
    missing = np.concatenate((needed[~np.isin(needed, colors[keeps])], more))
    free = [int(index) for index in np.flatnonzero(~keeps)]
    transparent = None
    if transparency:
        if own_transparent is not None and own_transparent < len(colors):
            free.remove(own_transparent)
            transparent = own_transparent
        elif free:  # its colour stays, so that the table is the meme's own
            transparent = free.pop()
        elif len(colors) < COLORS:
            transparent, colors = len(colors), np.append(colors, OPAQUE)
        else:
            return None
    added = min(len(missing), COLORS - len(colors))
    colors = np.concatenate((colors, missing[:added]))
    rest = missing[added:]
    if len(rest) > len(free):
        return None
    colors[free[len(free) - len(rest) :]] = rest
    return Palette(colors, transparent, is_exact=True)


def _replace_rare(needed: Canvas, counts: NDArray[np.int64], more: Canvas, room: int, transparency: bool) -> Palette:
    """A palette in which the rarest of the needed colours give way."""
    order = np.argsort(-counts, kind="stable")[: room - len(more)]
    colors = np.concatenate((needed[np.sort(order)], more))
    if transparency:
        colors = np.append(colors, OPAQUE)
    return Palette(colors, len(colors) - 1 if transparency else None, is_exact=False)


def _usable(palette: Palette) -> NDArray[np.bool_]:
    usable = np.ones(len(palette.colors), bool)
    if palette.transparent is not None:
        usable[palette.transparent] = False
    return usable


def _candidates(palette: Palette) -> Canvas:
    return palette.colors[_usable(palette)]


def _mean_error(pixels: Canvas, colors: Canvas) -> float:
    """Levels between pixels and their nearest colours, on average over pixels and channels."""
    if not len(colors):
        return 255.0
    levels, available = _levels(pixels[:: max(1, len(pixels) // _SAMPLES)]), _levels(colors)
    return float(np.abs(levels - available[_find_nearest(levels, colors)]).mean())


def _find_nearest(levels: NDArray[np.float32], colors: Canvas) -> NDArray[np.int32]:
    """The index of the nearest colour for each row of levels, float32 [n, 3]."""
    import cv2

    if not len(levels):
        return np.zeros(0, np.int32)
    _, nearest = cv2.batchDistance(levels, _levels(colors), cv2.CV_32F, normType=cv2.NORM_L2SQR, K=1)
    return np.asarray(nearest[:, 0], np.int32)


def _levels(colors: Canvas) -> NDArray[np.float32]:
    """Blue, green and red, float32 [n, 3]."""
    return np.stack([colors & 0xFF, colors >> 8 & 0xFF, colors >> 16 & 0xFF], axis=1).astype(np.float32)
