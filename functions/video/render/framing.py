"""Which part of a footage a frame of another shape shows: where the picture moves and has detail.

Both are seen in small grey pictures of a few moments, by plain arithmetic.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run

VERSION = 2  # raise it with code below that looks at a picture in another way
CELLS = 32  # across, and as many down
ALIKE = 0.9  # of the footage's part that is shown: a choice that small is not worth a look
_MOMENTS = 12  # at most
_FEW = 3  # key frames; with fewer, the first seconds are decoded
_SECONDS, _RATE = 1.5, 4  # of these, and pictures a second of them
_MOVEMENT = 2.0  # weight beside detail, both as shares of their sum
_NOISE = 2  # grey levels by which a cell changes when nothing moves
_FAINT = 1.5  # grey levels of mean saliency below which a picture has no subject
_PLAIN_SHARE = 0.5  # of the cells: what they have is the ground's, and does not count
_GOOD = 0.95  # of the most saliency in any window: the one of these in the middle of what it shows is taken

Cell = TypeVar("Cell")
Centre = tuple[float, float]
CENTRE: Centre = (0.5, 0.5)


def needs_choice(shape: float, frame_shape: float) -> bool:
    """Whether a frame of that shape (width to height) leaves out so much of a footage that it matters which part."""
    return min(shape, frame_shape) / max(shape, frame_shape) < ALIKE


def find_window(
    source: list[str], seconds: float, scratch: Path, shape: Centre, max_pixels: int, deadline: Deadline
) -> Centre:
    """Where the window of a stranger's footage or picture is best, across and down: 0 is the left or upper end, 1 the
    other.

    `source` are ffmpeg's arguments for the file, of which that many seconds are looked at: no more was fetched.
    `shape` are the window's shares of width and height; `scratch` is a file for the small pictures. Raises
    UnreadableMedia, EncodingFailed or OutOfTime.
    """
    pictures = _look(source, scratch, ["-skip_frame", "nokey", "-t", f"{seconds:.3f}"], [], max_pixels, deadline)
    if len(pictures) < _FEW:
        moments = _look(
            source, scratch, ["-t", f"{min(_SECONDS, seconds):.3f}"], [f"fps={_RATE}"], max_pixels, deadline
        )
        pictures = moments or pictures  # a still picture has none
    if not pictures:
        return CENTRE
    saliency = weigh(pictures)
    return choose_place(saliency, shape[0]), choose_place(_transpose(saliency), shape[1])


def _look(
    source: list[str], scratch: Path, options: list[str], filters: list[str], max_pixels: int, deadline: Deadline
) -> list[bytes]:
    """Small grey pictures of some moments."""
    chain = ",".join([*filters, f"scale={CELLS}:{CELLS}:flags=area", "format=gray"])
    output = ["-map", "0:v:0", "-an", "-vf", chain, "-fps_mode", "passthrough", "-frames:v", f"{_MOMENTS}"]
    # What was not fetched is zeros, which are read too where only key frames are decoded; they are errors.
    limits = ["-max_pixels", str(max_pixels), "-max_error_rate", "1"]
    try:
        run([*limits, *options, *source, *output, "-f", "rawvideo", str(scratch)], deadline=deadline)
        data = scratch.read_bytes()
    finally:
        scratch.unlink(missing_ok=True)
    size = CELLS * CELLS
    return [data[at : at + size] for at in range(0, len(data) - size + 1, size)]


def weigh(pictures: Sequence[bytes]) -> list[float]:
    """The saliency of each cell, row by row, in grey levels: detail, and change from one moment to the next, each as
    far as it is more than the ground's."""
    detail = _lift([sum(values) / len(pictures) for values in zip(*map(_contrast, pictures), strict=True)])
    pairs = list(pairwise(pictures))
    changes = [[max(0, abs(a - b) - _NOISE) for a, b in zip(*pair, strict=True)] for pair in pairs]
    movement = _lift([sum(values) / len(pairs) for values in zip(*changes, strict=True)]) if pairs else []
    if sum(movement) < _FAINT * CELLS:
        return detail
    # A subject that moves beats ground that has detail, however strong that is.
    factor = _MOVEMENT * max(sum(detail), 1.0) / sum(movement)
    return [one + factor * other for one, other in zip(detail, movement, strict=True)]


def _contrast(picture: bytes) -> list[float]:
    """How far each cell is from its neighbours, and from what is usual in its row and in its column: light that grows
    from one side to the other is usual in the one or the other."""
    rows, columns = _stand_out(picture), _transpose(_stand_out(_transpose(picture)))
    return [max(row[0], column[0]) + min(row[1], column[1]) for row, column in zip(rows, columns, strict=True)]


def _transpose(cells: Sequence[Cell]) -> list[Cell]:
    return [cell for at in range(CELLS) for cell in cells[at::CELLS]]


def _stand_out(cells: Sequence[int]) -> list[tuple[int, int]]:
    """How far each cell is from its neighbours in its row, and from the row's middle value."""
    values: list[tuple[int, int]] = []
    for row in (cells[at : at + CELLS] for at in range(0, len(cells), CELLS)):
        usual = sorted(row)[CELLS // 2]
        steps = [abs(one - other) for one, other in pairwise(row)]
        sides = zip([0, *steps], [*steps, 0], strict=True)
        values += [(max(pair), abs(level - usual)) for level, pair in zip(row, sides, strict=True)]
    return values


def _lift(values: Sequence[float]) -> list[float]:
    """What is more than most cells have."""
    ground = sorted(values)[int(_PLAIN_SHARE * len(values))]
    return [max(0.0, value - ground) for value in values]


def choose_place(saliency: Sequence[float], share: float) -> float:
    """The place, from 0 (left) to 1, of a window with that share of the width that shows the most; the middle where
    nothing stands out."""
    if share >= 1.0 or sum(saliency) < _FAINT * CELLS:
        return 0.5
    rows = [saliency[at : at + CELLS] for at in range(0, len(saliency), CELLS)]
    return _slide([sum(column) for column in zip(*rows, strict=True)], share)


def _slide(profile: Sequence[float], share: float) -> float:
    """The place, from 0 to 1, of the best window along one side."""
    room, steps = CELLS * (1 - share), 64
    whole = sum(profile) or 1.0
    options = []
    for step in range(steps + 1):
        first = room * step / steps
        inside = [
            max(0.0, min(at + 1, first + CELLS * share) - max(at, first)) * each for at, each in enumerate(profile)
        ]
        weight = sum(inside)
        mean = sum((at + 0.5) * each for at, each in enumerate(inside)) / weight if weight else CELLS / 2
        # A subject that is off by a cell is still whole, and cells see no better: then the middle is preferred.
        off = max(0.0, abs(mean - (first + CELLS * share / 2)) - 1)
        options.append((weight / whole, off, step / steps))
    most = max(weight for weight, _, _ in options)
    good = [(off, abs(place - 0.5), place) for weight, off, place in options if weight >= _GOOD * most]
    return min(good)[2]
