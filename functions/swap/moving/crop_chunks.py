"""Crops on their way to the swapper and back: in chunks, each of which one execution swaps."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.moving.values import Analysis, FaceFrame
from layers.media.picture import Pixels

LARGEST_CHUNK = 120  # face-frames: a minute of one execution
SMALLEST_CHUNK = 30  # where there are more: a cold start costs as much as ten
EXECUTIONS = 10  # side by side: what a new account may have
CROP_BYTES = SWAPPER_SIZE * SWAPPER_SIZE * 3
_FACE = np.dtype([("number", "<u4"), ("track", "<u4")])


@dataclass(frozen=True)
class CropChunk:
    """Some crops, before or after the swap, in the order of frames."""

    faces: tuple[FaceFrame, ...]
    crops: Pixels  # uint8 BGR [N, 128, 128, 3]

    def to_bytes(self) -> bytes:
        """How many there are in four bytes, whose they are in eight each, then the crops as they are."""
        header = np.array(list(self.faces), _FACE)
        return len(header).to_bytes(4, "little") + header.tobytes() + np.ascontiguousarray(self.crops).tobytes()

    @staticmethod
    def from_bytes(content: bytes) -> CropChunk:
        """Read what `to_bytes` wrote. Raises ValueError if it is not that."""
        count = int.from_bytes(content[:4], "little")
        end = 4 + count * _FACE.itemsize
        if count > LARGEST_CHUNK or len(content) != end + count * CROP_BYTES:
            raise ValueError("This is no chunk of crops.")
        faces = np.frombuffer(content, _FACE, count, offset=4)
        crops = np.frombuffer(content, np.uint8, offset=end).reshape(count, SWAPPER_SIZE, SWAPPER_SIZE, 3)
        return CropChunk(tuple(FaceFrame(int(face["number"]), int(face["track"])) for face in faces), crops)


def list_faces(analysis: Analysis, tracks: Iterable[int]) -> list[FaceFrame]:
    """The visible faces of these tracks, by frames, without those that another's crop serves: as often does the swapper
    run."""
    chosen = set(tracks)
    return sorted(
        FaceFrame(frame.number, track.index)
        for track in analysis.tracks
        if track.index in chosen
        for frame in track.frames
        if frame.opacity > 0 and frame.crop_number < 0
    )


def choose_size(count: int) -> int:
    """The most face-frames of a chunk, for so many in all."""
    return min(max(math.ceil(count / EXECUTIONS), SMALLEST_CHUNK), LARGEST_CHUNK)


def plan_chunks(faces: Sequence[FaceFrame], largest: int = LARGEST_CHUNK) -> list[tuple[FaceFrame, ...]]:
    """The faces in as few chunks as possible, of at most `largest`, which are equally long within one face."""
    count = math.ceil(len(faces) / largest)
    ends = [len(faces) * number // count for number in range(count + 1)] if count else [0]
    return [tuple(faces[start:end]) for start, end in itertools.pairwise(ends)]


def fill_chunks(
    crops: Iterable[tuple[FaceFrame, Pixels]], plan: Iterable[tuple[FaceFrame, ...]]
) -> Iterator[CropChunk]:
    """Fill the chunks of a plan with crops, which come in its order; one chunk is held at a time."""
    rest = iter(crops)
    for faces in plan:
        batch = np.empty((len(faces), SWAPPER_SIZE, SWAPPER_SIZE, 3), np.uint8)
        for place, (face, (key, crop)) in enumerate(zip(faces, rest, strict=False)):
            assert key == face
            batch[place] = crop
        yield CropChunk(faces, batch)


def name_chunk(analysis: str, faces: Sequence[FaceFrame], inputs: Sequence[str] = ()) -> str:
    """The name of a chunk, in hex, made of its inputs: the name of the analysis, whose crops it has, and anything else.

    What else decides about swapped crops are the latents and the swapper, by their digests.
    """
    return hashlib.sha256(json.dumps([analysis, list(faces), list(inputs)]).encode()).hexdigest()
