"""The values of a moving meme: frames, and the people in them as tracks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from functions.swap.face.align import SWAPPER_SIZE, Matrix, alignment_matrix
from functions.swap.values import Box, Face, Floats
from layers.media.picture import Pixels

COVER_SIDE = 64  # cells across the aligned crop, each of which a cover hides or not


@dataclass(frozen=True)
class Frame:
    """A frame of a moving picture."""

    pixels: Pixels  # uint8 BGR [H, W, 3]
    seconds: float  # from the beginning to when it is shown
    repeats: bool = False  # whether it shows exactly what the frame before showed
    digest: bytes = b""  # of the pixels, where frames that are not neighbours may be the same; else empty


@dataclass(frozen=True)
class FaceInFrame:
    """A face in one frame."""

    number: int  # of the frame, among those that do not repeat another
    keypoints: Floats  # float32 [5, 2]
    box: Box
    score: float  # the detector's, 0 to 1; 0 where it saw nothing and optical flow alone led there

    @property
    def forward(self) -> Matrix:
        """The transform from the frame to the aligned crop."""
        return alignment_matrix(self.keypoints, SWAPPER_SIZE)

    @property
    def face(self) -> Face:
        """The face as stills have it; its number is no person's."""
        return Face(0, self.box, self.keypoints, self.score)


@dataclass(frozen=True)
class TrackFrame(FaceInFrame):
    """One person's face in one frame; the keypoints are steady along the track."""

    opacity: float  # of what is put in, 0 to 1
    crop_number: int = -1  # of the earlier frame that shows the same, whose crop serves here too; -1 for its own
    cover: NDArray[np.bool_] | None = field(default=None, repr=False)  # what hides it, over the crop: bool [64, 64]


@dataclass(frozen=True)
class Track:
    """A person of a moving meme."""

    index: int  # by first appearance, then in rows from top to bottom, then from left to right
    frames: tuple[TrackFrame, ...]  # in ascending order
    thumbnail: int  # the number of the frame that shows the face best
    embedding: Floats = field(repr=False)  # float32 [512], unit length

    @property
    def first(self) -> int:
        """The number of the first frame."""
        return self.frames[0].number

    @property
    def last(self) -> int:
        """The number of the last frame."""
        return self.frames[-1].number

    @property
    def portrait(self) -> Face:
        """The face where it is best seen, with the person's number: what functions.swap.selection chooses among."""
        return replace(self.at(self.thumbnail).face, index=self.index)

    def at(self, number: int) -> TrackFrame:
        """The person in the frame of that number. Raises KeyError."""
        return self._by_number[number]

    def find(self, number: int) -> TrackFrame | None:
        """The person in the frame of that number; None if not there."""
        return self._by_number.get(number)

    @cached_property
    def _by_number(self) -> dict[int, TrackFrame]:
        return {frame.number: frame for frame in self.frames}


class FaceFrame(NamedTuple):
    """A person in a frame: what a crop shows."""

    number: int  # of the frame
    track: int  # the index of the person's


@dataclass(frozen=True)
class Analysis:
    """Who is where in a moving meme."""

    width: int  # pixels
    height: int
    distinct: tuple[int, ...]  # for each frame, the number of the distinct one that it shows
    seconds: tuple[float, ...]  # when each distinct frame is first shown
    tracks: tuple[Track, ...]

    def faces_at(self, number: int) -> list[tuple[Track, TrackFrame]]:
        """The people of a distinct frame."""
        seen = [(track, track.find(number)) for track in self.tracks]
        return [(track, frame) for track, frame in seen if frame is not None]

    def times(self, track: Track) -> list[tuple[float, float]]:
        """From when to when, in seconds, a person is seen, in order; each lasts to the beginning of its last frame."""
        numbers = [frame.number for frame in track.frames]
        starts = [at for at in range(len(numbers)) if at == 0 or numbers[at] != numbers[at - 1] + 1]
        ends = [*(start - 1 for start in starts[1:]), len(numbers) - 1]
        return [
            (self.seconds[numbers[start]], self.seconds[numbers[end]]) for start, end in zip(starts, ends, strict=True)
        ]


Complex = NDArray[np.complex128]  # points or similarities of the plane
