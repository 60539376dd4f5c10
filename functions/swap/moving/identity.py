"""Whose segments are whose: one embedding each, and those of one person joined."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from functions.swap.face.align import EMBEDDER_SIZE
from functions.swap.face.detect import order_rows
from functions.swap.face.embed import to_network_input
from functions.swap.moving.opacity import measure_yaw
from functions.swap.moving.segment import Segment, Sighting
from functions.swap.values import Floats
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from layers.engine.embedder import Embedder

SAME_PERSON = 0.45  # cosine
BEST_FRAMES = 3  # of a segment, whose embeddings are averaged
CROP_LEFT = 8  # pixels: where the embedder's crop begins in the swapper's (align.alignment_matrix)
MOST_SEGMENTS = 500  # that are compared: each takes three runs of the embedder


def choose_best(segment: Segment) -> list[Sighting]:
    """The sightings that show the face best: detected with certainty, from the front, and not hidden."""
    visible = [sighting for sighting in segment.sightings if sighting.patch is not None]
    return sorted(visible, key=rate, reverse=True)[:BEST_FRAMES]


def rate(sighting: Sighting) -> float:
    """How well a sighting shows the face: 0 to 1."""
    return sighting.score * (1 - sighting.hidden) / (1 + measure_yaw(sighting.keypoints))


def embed_crops(crops: Sequence[Pixels], embedder: Embedder) -> Floats:
    """The mean embedding, float32 [512] of unit length, of aligned crops of 128 pixels.

    The embedder's crop of 112 pixels is a part of them.
    """
    parts = [crop[:EMBEDDER_SIZE, CROP_LEFT : CROP_LEFT + EMBEDDER_SIZE] for crop in crops]
    embeddings = embedder.run(np.concatenate([to_network_input(part) for part in parts]))
    mean = np.sum([embedding / max(float(np.linalg.norm(embedding)), 1e-9) for embedding in embeddings], 0)
    return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)


def keep_longest(segments: Sequence[Segment]) -> list[Segment]:
    """The longest segments, in their order, of a clip that has more than MOST_SEGMENTS: it flickers, or is hostile."""
    longest = sorted(segments, key=lambda segment: segment.detections, reverse=True)[:MOST_SEGMENTS]
    kept = set(longest)
    return [segment for segment in segments if segment in kept]


def join_segments(segments: Sequence[Segment], embeddings: Sequence[Floats]) -> list[list[int]]:
    """The places of the segments of each person, by first appearance, then in rows, then from left to right.

    The most similar are joined first; nobody is in one frame twice.
    """
    people = [[at] for at in range(len(segments))]
    if not people:
        return []
    frames = [{sighting.number for sighting in segment.sightings} for segment in segments]
    sums = np.stack(embeddings)
    cosines = sums @ sums.T
    meets = np.array([[bool(one & other) for other in frames] for one in frames])
    while True:
        allowed = np.where(meets, -1, cosines)
        one, other = (int(place) for place in np.unravel_index(allowed.argmax(), allowed.shape))
        if allowed[one, other] <= SAME_PERSON:
            return order_people([person for person in people if person], segments)
        people[one], people[other] = people[one] + people[other], []
        meets[one] |= meets[other]
        meets[:, one] = meets[one]
        meets[other] = meets[:, other] = True
        sums[one] += sums[other]
        norms = np.maximum(np.linalg.norm(sums, axis=1), 1e-9)
        cosines[one] = cosines[:, one] = sums @ sums[one] / (norms * norms[one])


def order_people(people: Sequence[list[int]], segments: Sequence[Segment]) -> list[list[int]]:
    """People by their first frames, those of one frame in rows from top to bottom, then from left to right."""
    firsts: dict[int, list[tuple[list[int], Sighting]]] = {}
    for person in people:
        ordered = sorted(person, key=lambda at: segments[at].sightings[0].number)
        first = segments[ordered[0]].sightings[0]
        firsts.setdefault(first.number, []).append((ordered, first))
    result = []
    for number in sorted(firsts):
        boxes = np.array([first.box for _, first in firsts[number]], np.float32)
        result += [firsts[number][at][0] for at in order_rows(boxes)]
    return result
