"""The analysis of a moving meme: one pass over its frames, then who is in them, where, and what the swapper takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from functions.swap.moving.crop_chunks import list_faces
from functions.swap.moving.identity import Embedder, choose_best, embed_crops, join_segments, keep_longest, rate
from functions.swap.moving.opacity import fade
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.moving.store import PatchStore
from functions.swap.moving.tracker import FaceFinder, Tracker
from functions.swap.moving.values import Analysis, FaceFrame, Frame, Track, TrackFrame
from functions.swap.values import Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels


@dataclass(frozen=True)
class MovingPeople:
    """The people of a moving meme, and their crops."""

    analysis: Analysis
    _store: PatchStore
    _patches: Mapping[FaceFrame, int]

    def cut_crops(self, tracks: Iterable[int]) -> Iterator[tuple[FaceFrame, Pixels]]:
        """The aligned crops, uint8 BGR [128, 128, 3], of all visible faces of these tracks, in `list_faces`' order."""
        for face in list_faces(self.analysis, tracks):
            yield face, self.cut_crop(face)

    def cut_crop(self, face: FaceFrame) -> Pixels:
        """The aligned crop, uint8 BGR [128, 128, 3], of a visible face."""
        forward = self.analysis.tracks[face.track].at(face.number).forward
        return self._store.read(self._patches[face]).crop(forward)


def find_people(
    frames: Iterable[Frame],
    detector: FaceFinder,
    load_embedder: Callable[[], Embedder],
    store: PatchStore,
    deadline: Deadline,
) -> MovingPeople:
    """Find the people of a moving meme; frames are taken one at a time, and the embedder is loaded after the last.

    A frame that repeats the one before costs nothing. Raises OutOfTime, and what loading the embedder raises.
    """
    tracker = Tracker(detector, store, deadline)
    distinct: list[int] = []
    seconds: list[float] = []
    width = height = 0
    for frame in frames:
        if not frame.repeats or not seconds:
            height, width = frame.pixels.shape[:2]
            seconds.append(frame.seconds)
            tracker.add(frame.pixels, frame.seconds)
        distinct.append(len(seconds) - 1)
    segments = keep_longest(tracker.finish())
    embeddings = _embed(segments, store, load_embedder, deadline)
    tracks: list[Track] = []
    patches: dict[FaceFrame, int] = {}
    for places in join_segments(segments, embeddings):
        rows = fade([segments[at] for at in places], width, height)
        mean = np.sum([embeddings[at] for at in places], 0)
        tracks.append(_make_track(len(tracks), rows, mean))
        patches |= {
            FaceFrame(sighting.number, tracks[-1].index): sighting.patch
            for sighting, _ in rows
            if sighting.patch is not None
        }
    return MovingPeople(Analysis(width, height, tuple(distinct), tuple(seconds), tuple(tracks)), store, patches)


def _embed(
    segments: Sequence[Segment], store: PatchStore, load_embedder: Callable[[], Embedder], deadline: Deadline
) -> list[Floats]:
    """One embedding for each segment, float32 [512] of unit length, from its best frames. Raises OutOfTime."""
    if not segments:
        return []
    embedder = load_embedder()
    embeddings = []
    for segment in segments:
        deadline.check("comparing faces")
        best = [(sighting.patch, sighting.forward) for sighting in choose_best(segment)]
        crops = [store.read(patch).crop(forward) for patch, forward in best if patch is not None]
        embeddings.append(embed_crops(crops, embedder))
    return embeddings


def _make_track(index: int, rows: Sequence[tuple[Sighting, float]], embedding: Floats) -> Track:
    """A person's track, from sightings and opacities."""
    frames = tuple(
        TrackFrame(sighting.number, sighting.keypoints, sighting.box, sighting.score, opacity)
        for sighting, opacity in rows
    )
    best = max(range(len(rows)), key=lambda at: rate(rows[at][0]) * rows[at][1] * rows[at][0].face.area)
    unit = np.asarray(embedding / max(float(np.linalg.norm(embedding)), 1e-9), np.float32)
    return Track(index, frames, frames[best].number, unit)
