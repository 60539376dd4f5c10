"""The analysis of a moving meme: one pass over its frames, then who is in them, where, and what the swapper takes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from functions.swap.face.align import Matrix
from functions.swap.moving.cover_mask import mix_crops, soften
from functions.swap.moving.covers import find_covers
from functions.swap.moving.crop_chunks import list_faces
from functions.swap.moving.identity import choose_best, embed_crops, join_segments, keep_longest, rate
from functions.swap.moving.opacity import fade
from functions.swap.moving.same_canvas import share_crops
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.moving.store import PatchStore
from functions.swap.moving.tracker import FaceFinder, Tracker
from functions.swap.moving.values import Analysis, FaceFrame, Frame, Track, TrackFrame
from functions.swap.values import Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from layers.engine.embedder import Embedder


class Model(NamedTuple):
    """Where a face is seen that is hidden elsewhere."""

    patch: int
    forward: Matrix


@dataclass(frozen=True)
class MovingPeople:
    """The people of a moving meme, and their crops."""

    analysis: Analysis
    _store: PatchStore
    _patches: Mapping[FaceFrame, int]
    _models: Mapping[FaceFrame, Model]  # of the faces that are partly hidden

    def cut_crops(self, tracks: Iterable[int]) -> Iterator[tuple[FaceFrame, Pixels]]:
        """The aligned crops, uint8 BGR [128, 128, 3], of all visible faces of these tracks, in `list_faces`' order."""
        for face in list_faces(self.analysis, tracks):
            yield face, self.cut_crop(face)

    def cut_crop(self, face: FaceFrame) -> Pixels:
        """The aligned crop, uint8 BGR [128, 128, 3], of a visible face: what is hidden of it is as in another frame.

        The swapper has never seen half a face, and would make another one of it in each frame.
        """
        frame = self.analysis.tracks[face.track].at(face.number)
        crop = self._store.read(self._patches[face]).crop(frame.forward)
        model = self._models.get(face)
        if frame.cover is None or model is None:
            return crop
        return mix_crops(crop, self._store.read(model.patch).crop(model.forward), soften(frame.cover))


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
    digests: list[bytes] = []
    width = height = 0
    for frame in frames:
        if not frame.repeats or not seconds:
            height, width = frame.pixels.shape[:2]
            seconds.append(frame.seconds)
            digests.append(frame.digest)
            tracker.add(frame.pixels, frame.seconds)
        distinct.append(len(seconds) - 1)
    segments = keep_longest(tracker.finish())
    for segment in segments:
        deadline.check("following faces")
        segment.sightings = find_covers(segment, store, width, height)
    embeddings = _embed(segments, store, load_embedder, deadline)
    tracks: list[Track] = []
    patches: dict[FaceFrame, int] = {}
    models: dict[FaceFrame, Model] = {}
    for places in join_segments(segments, embeddings):
        rows = fade([segments[at] for at in places], width, height)
        mean = np.sum([embeddings[at] for at in places], 0)
        tracks.append(_make_track(len(tracks), rows, mean, digests))
        patches |= {
            FaceFrame(sighting.number, tracks[-1].index): sighting.patch
            for sighting, _ in rows
            if sighting.patch is not None
        }
        models |= _list_models([segments[at] for at in places], tracks[-1].index)
    return MovingPeople(Analysis(width, height, tuple(distinct), tuple(seconds), tuple(tracks)), store, patches, models)


def _list_models(segments: Sequence[Segment], track: int) -> dict[FaceFrame, Model]:
    """What the hidden parts of one person's faces look like elsewhere."""
    models = {}
    for segment in segments:
        for sighting in segment.sightings:
            if sighting.model is not None:
                other = segment.sightings[sighting.model]
                if other.patch is not None:
                    models[FaceFrame(sighting.number, track)] = Model(other.patch, other.forward)
    return models


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


def _make_track(
    index: int, rows: Sequence[tuple[Sighting, float]], embedding: Floats, digests: Sequence[bytes]
) -> Track:
    """A person's track, from sightings, opacities, and the digests of distinct frames."""
    frames = share_crops(
        [
            TrackFrame(
                *(sighting.number, sighting.keypoints, sighting.box, sighting.score, opacity), cover=sighting.cover
            )
            for sighting, opacity in rows
        ],
        digests,
    )
    best = max(range(len(rows)), key=lambda at: rate(rows[at][0]) * rows[at][1] * rows[at][0].face.area)
    unit = np.asarray(embedding / max(float(np.linalg.norm(embedding)), 1e-9), np.float32)
    return Track(index, frames, frames[best].number, unit)
