"""From a person's pictures to what the swapper takes for that person's face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

from functions.swap.context import SwapContext
from functions.swap.picture_loading import PictureRole
from functions.swap.values import Floats, Latent
from layers.core.errors import NoFaceInSource
from layers.core.telemetry import Phases

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from layers.media.picture import Picture

STRANGERS = 0.2
"""Cosine similarity below which two pictures hardly show the same person.

The do-not-swap list, which refuses rather too many, takes 0.3 for the same person; a remark should come only where
there is little doubt. With the demo pack, drawings of one person have 0.83 or more, and three fifths of strangers less
than this.
"""
_SHORTEST_AVERAGE = 1e-3  # of unit vectors; a shorter one has no direction


def embed_source(
    picture: Picture, role: PictureRole, detector: Detector, context: SwapContext, phases: Phases
) -> Floats:
    """The embedding of the largest face of a picture, float32 [512], not normalised.

    Raises NoFaceInSource, the errors of loading the models, or OutOfTime.
    """
    from functions.swap.face import align, embed

    hint, pixels = context.models.manifest.hint, picture.as_seen()
    with phases("detect"):
        face = detector.find_largest(pixels, context.deadline)
    if face is None:
        raise NoFaceInSource(
            join_hint(f"No face was found in {role.source}. Use one that shows the face clearly.", hint),
            picture="face",
            **role.list_mistakes("shows no face"),
        )
    if align.rejection_reason(face, picture.width, picture.height):
        raise NoFaceInSource(
            join_hint(f"The face in {role.source} is too small, or cut off by its edge. Use a larger one.", hint),
            picture="face",
            **role.list_mistakes("shows a face that is too small or cut off"),
        )
    with phases("models"):
        network = context.models.embedder(context.deadline)
    with phases("embed"):
        return embed.embed_face(pixels, face, network)


def make_latent(embeddings: Mapping[str, Floats], emap: Floats, recipe: str) -> Latent:
    """The latent of one person's face, by the average of the embeddings of their pictures, each float32 [512].

    `embeddings` are by the pictures' digests, and their order does not matter; `emap` is the embedding map, float32
    [512, 512]; `recipe` the digest that the latent is stored under. Raises NoFaceInSource if they cancel each other.
    """
    import numpy as np

    from layers.engine.onnx_embedder import normalise, to_latent

    if len(embeddings) == 1:
        (embedding,) = embeddings.values()
        return Latent(to_latent(embedding, emap), normalise(embedding), recipe)
    parts = {digest: normalise(embeddings[digest]) for digest in sorted(embeddings)}
    mean = np.mean(list(parts.values()), axis=0)
    if not float(np.linalg.norm(mean)) > _SHORTEST_AVERAGE:
        raise NoFaceInSource("The source pictures show different people. Use pictures of one person.", picture="face")
    average = normalise(mean)
    return Latent(to_latent(average, emap), average, recipe, parts)


@dataclass(frozen=True)
class Strangers:
    """Two pictures that hardly show one person."""

    digests: tuple[str, str]
    similarity: float  # cosine of their embeddings


def find_strangers(latent: Latent) -> Strangers | None:
    """The two pictures of an average that are least alike, if they hardly show one person."""
    pairs = [
        Strangers((first, second), float(one @ other))
        for (first, one), (second, other) in combinations(latent.parts.items(), 2)
    ]
    least = min(pairs, key=lambda pair: pair.similarity, default=None)
    return least if least and least.similarity < STRANGERS else None


def join_hint(sentence: str, hint: str | None) -> str:
    """A sentence with the pack's own hint, if it has one, about which faces it detects."""
    return f"{sentence} {hint}" if hint else sentence
