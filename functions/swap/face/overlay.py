"""What lies flat over a face: captions, labels and bars, known by their shape alone.

Black and white areas of one level are many in a face too: teeth, the white of eyes, beards, frames of glasses. Only two
kinds are taken for an overlay: at least three letters of one height in a line, and rectangles along the picture's axes.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from layers.media.picture import Pixels

MAX_SIDE = 512  # pixels in which shapes are looked for; a larger face is shrunk first
WHITE, BLACK = 245, 12  # levels that all channels reach, or do not exceed
OUTLINE_WHITE, OUTLINE_BLACK = 195, 60  # the same for the outline of letters, which is thin
HARD = 24  # levels by which the surroundings differ from white or black
RING = 3  # pixels from an area to the surroundings: an edge that takes longer is soft
HARD_SHARE = 0.9  # of the surroundings of a letter, that differ by so much

# Letters, as shares of the face's crop or of their own height.
LETTER_HEIGHTS = (0.05, 0.6)  # of the crop's box
MIN_LETTER = 7  # pixels, so that heights can be compared
LETTER_WIDTHS = (0.08, 2.5)
EVEN = 0.1  # how far tops and bottoms in a line may be apart
GAP = 1.0  # between neighbours
MIN_LETTERS = 3
OUTLINE_REACH = 0.2
OUTLINED_SHARE = 0.7  # of the surroundings of letters with an outline

RECTANGLE_SIDE = 0.05  # of the box: a thinner rectangle may be anything
RECTANGLE_AREA = 0.4  # of the box: a larger one is the ground
RECTANGLE_FILL = 0.95  # of its bounding box


class Overlay(NamedTuple):
    """Where something lies over the face."""

    mask: Pixels  # uint8 [H, W], 255 where it does
    step: float  # pixels of the picture to one of the mask


@dataclass(frozen=True)
class _Area:
    """A connected area of one level."""

    label: int
    left: int
    top: int
    width: int
    height: int

    @property
    def bottom(self) -> int:
        return self.top + self.height

    @property
    def window(self) -> tuple[slice, slice]:
        """Its bounding box with room for its surroundings."""
        reach = RING + 1
        rows = slice(max(self.top - reach, 0), self.bottom + reach)
        return rows, slice(max(self.left - reach, 0), self.left + self.width + reach)


def find_overlay(pixels: Pixels) -> Overlay | None:
    """What lies over the face in its crop's box, uint8 BGR [H, W, 3]; None if nothing does."""
    height, width = pixels.shape[:2]
    step = max(height, width, MAX_SIDE) / MAX_SIDE
    if step > 1:
        size = (max(round(width / step), 1), max(round(height / step), 1))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    blue, green, red = cv2.split(pixels)
    low, high = (np.asarray(of(of(blue, green), red), np.uint8) for of in (cv2.min, cv2.max))
    masks = [
        _find_in((low >= WHITE).astype(np.uint8), low <= 255 - HARD, high <= OUTLINE_BLACK),
        _find_in((high <= BLACK).astype(np.uint8), high >= HARD + BLACK, low >= OUTLINE_WHITE),
    ]
    shapes = [mask for mask in masks if mask is not None]
    if not shapes:
        return None
    mask = cv2.dilate(np.bitwise_or.reduce(shapes), np.ones((3, 3), np.uint8))  # with the smoothed rim
    return Overlay(np.asarray(mask, np.uint8), step)


def cut_overlay(overlay: Overlay, top: int, size: tuple[int, int]) -> Pixels:
    """The overlay's mask for the band of that `size` (width, height) that begins at row `top`, uint8 [H, W]."""
    width, height = size
    rows, columns = (
        np.minimum((np.arange(start, start + length) / overlay.step).astype(np.intp), side - 1)
        for start, length, side in zip((top, 0), (height, width), overlay.mask.shape, strict=True)
    )
    return np.asarray(overlay.mask[rows[:, None], columns], np.uint8)


def _find_in(level: Pixels, other: NDArray[np.bool_], opposite: NDArray[np.bool_]) -> Pixels | None:
    """Letters and rectangles among the areas of a level, uint8 [H, W], 255 in them; None without any.

    `other` is what differs clearly from that level, and `opposite` what may be an outline of its letters.
    """
    if level.sum() < MIN_LETTERS * MIN_LETTER:
        return None
    areas, labels = _find_areas(level)
    mask = np.zeros(level.shape, np.uint8)
    for line in _find_lines([area for area in areas if _may_be_letter(area, labels, other)]):
        _mark_line(mask, line, level, opposite)
    for area in areas:
        _mark_rectangle(mask, area, labels)
    return mask if mask.any() else None


def _find_areas(level: Pixels) -> tuple[list[_Area], NDArray[np.int32]]:
    """The connected areas of a level, and the label of each pixel."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(level, connectivity=8)
    return [_Area(label, *map(int, row[:4])) for label, row in enumerate(stats) if label], np.asarray(labels, np.int32)


def _may_be_letter(area: _Area, labels: NDArray[np.int32], other: NDArray[np.bool_]) -> bool:
    """Whether an area has a letter's size, and hard edges."""
    low, high = (share * labels.shape[0] for share in LETTER_HEIGHTS)
    if not max(low, MIN_LETTER) <= area.height <= high:
        return False
    if not LETTER_WIDTHS[0] * area.height <= area.width <= LETTER_WIDTHS[1] * area.height:
        return False
    inside = _cut(area, labels)
    ring = _grow(inside, RING) & ~_grow(inside, RING - 1)
    return bool(other[area.window][ring].mean() >= HARD_SHARE)


def _find_lines(letters: list[_Area]) -> list[list[_Area]]:
    """The letters that stand in lines: as tall as their neighbours, on one level with them, and close."""
    lines: list[list[_Area]] = []
    for letter in sorted(letters, key=lambda area: area.left):
        for line in lines:
            last, even = line[-1], EVEN * letter.height
            near = letter.left - last.left - last.width <= GAP * letter.height
            if near and abs(letter.top - last.top) <= even and abs(letter.bottom - last.bottom) <= even:
                line.append(letter)
                break
        else:
            lines.append([letter])
    return [line for line in lines if len(line) >= MIN_LETTERS]


def _mark_line(mask: Pixels, line: list[_Area], level: Pixels, opposite: NDArray[np.bool_]) -> None:
    """Mark the letters of a line, and nothing above or below it.

    Letters that touch something else of their level, above or below, are found only now.
    """
    top, bottom = (round(statistics.median(ends)) for ends in zip(*((at.top, at.bottom) for at in line), strict=True))
    rows = np.zeros_like(level)
    rows[top:bottom] = level[top:bottom]
    letters, labels = _find_areas(rows)
    height = bottom - top
    tall = [letter for letter in letters if letter.height >= (1 - EVEN) * height]
    for letters in _find_lines([letter for letter in tall if letter.width <= LETTER_WIDTHS[1] * height]):
        shares = [_outline_share(_cut(letter, labels), opposite[letter.window]) for letter in letters]
        outlined = statistics.median(shares) >= OUTLINED_SHARE
        for letter in letters:
            inside = _cut(letter, labels)
            if outlined:
                reach = min(max(round(OUTLINE_REACH * height), 2), RING + 1)
                inside |= opposite[letter.window] & _grow(inside, reach)
            mask[letter.window][inside] = 255


def _outline_share(inside: NDArray[np.bool_], opposite: NDArray[np.bool_]) -> float:
    """The share of what surrounds a letter that may be its outline."""
    return float(opposite[_grow(inside, RING - 1) & ~_grow(inside, 1)].mean())


def _mark_rectangle(mask: Pixels, area: _Area, labels: NDArray[np.int32]) -> None:
    """Mark an area, with the letters in it, if its outline is a rectangle."""
    height, width = labels.shape
    if min(area.width, area.height) < max(RECTANGLE_SIDE * max(height, width), MIN_LETTER):
        return
    if area.width * area.height > RECTANGLE_AREA * height * width:
        return
    box = np.s_[area.top : area.bottom, area.left : area.left + area.width]
    inside = (labels[box] == area.label).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(inside, contours, -1, (1.0,), cv2.FILLED)
    if inside.mean() >= RECTANGLE_FILL:
        mask[box][inside > 0] = 255


def _cut(area: _Area, labels: NDArray[np.int32]) -> NDArray[np.bool_]:
    return np.asarray(labels[area.window] == area.label)


def _grow(inside: NDArray[np.bool_], reach: int) -> NDArray[np.bool_]:
    side = 2 * reach + 1
    return np.asarray(cv2.dilate(inside.astype(np.uint8), np.ones((side, side), np.uint8)) > 0)
