"""Which people of a moving meme are replaced."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from functions.swap.face.align import EMBEDDER_SIZE
from functions.swap.face.detect import sort_by_size
from functions.swap.face.embed import to_network_input
from functions.swap.moving.identity import CROP_LEFT
from functions.swap.moving.people import MovingPeople
from functions.swap.moving.values import Analysis, FaceFrame, Track
from functions.swap.selection import FaceSelection, Indices, select_faces
from functions.swap.values import Face, Floats
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from functions.swap.safeguards.denylist import DenylistMatcher
    from layers.engine.embedder import Embedder

DENYLIST_SECONDS = 2.0  # of play, in each of which a person is compared with the do-not-swap list again


def select_people(analysis: Analysis, choice: Indices, most_people: int, most_face_frames: int) -> FaceSelection:
    """Select the people to replace: of too many, or of those who are in too many frames, the largest.

    Raises InvalidRequest for a number that nobody has.
    """
    portraits = [track.portrait for track in analysis.tracks]
    selection = select_faces(portraits, choice, analysis.width, analysis.height, most_people)
    reasons, left = dict(selection.reasons), most_face_frames
    for face in sort_by_size(selection.chosen):
        visible = len(list_visible(analysis.tracks[face.index]))
        if visible > left:
            reasons[face.index] = "over_limit"
        else:
            left -= visible
    return FaceSelection(selection.faces, reasons)


def list_visible(track: Track) -> list[FaceFrame]:
    """The frames in which a person is seen."""
    return [FaceFrame(frame.number, track.index) for frame in track.frames if frame.opacity > 0]


def find_denied(
    people: MovingPeople,
    chosen: Sequence[Face],
    matcher: DenylistMatcher,
    embedder: Embedder,
    check: Callable[[], None],
) -> list[Face]:
    """Those who are on the do-not-swap list, by their track and by one frame of each two seconds.

    `check` is called before each person.
    """
    denied = []
    for face in chosen:
        check()
        track = people.analysis.tracks[face.index]
        embeddings = (each for key in sample(people.analysis, track) for each in _embed(people.cut_crop(key), embedder))
        if matcher.matches(track.embedding) or any(map(matcher.matches, embeddings)):
            denied.append(face)
    return denied


def sample(analysis: Analysis, track: Track) -> list[FaceFrame]:
    """The frame of each two seconds that shows a person with the best score."""
    best: dict[int, tuple[float, FaceFrame]] = {}
    for key in list_visible(track):
        span = int(analysis.seconds[key.number] / DENYLIST_SECONDS)
        score = track.at(key.number).score
        if span not in best or score > best[span][0]:
            best[span] = score, key
    return [key for _, key in best.values()]


def _embed(crop: Pixels, embedder: Embedder) -> Iterator[Floats]:
    """The embedding of a crop, uint8 BGR [128, 128, 3], and of the same upside down, as for a still picture."""
    aligned = crop[:EMBEDDER_SIZE, CROP_LEFT : CROP_LEFT + EMBEDDER_SIZE]
    for part in (aligned, aligned[::-1, ::-1]):
        yield np.asarray(embedder.run(to_network_input(np.ascontiguousarray(part)))[0], np.float32)
