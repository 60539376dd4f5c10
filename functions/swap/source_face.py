"""The face that is put in: its latent, from the cache or computed from the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from functions.swap.context import SwapContext
from functions.swap.latent_cache import LatentCache
from functions.swap.values import Latent
from layers.core.errors import NoFaceInSource
from layers.core.telemetry import Phases

if TYPE_CHECKING:
    from functions.swap.face.detect import Detector
    from layers.media.picture import Picture


@dataclass(frozen=True)
class SourceFace:
    """A latent, and what decides whether and where it is stored."""

    latent: Latent
    digest: str  # of its picture
    is_default: bool
    is_new: bool  # not in the cache yet
    cache: LatentCache

    @property
    def latent_key(self) -> str | None:
        """Where its latent is stored, if it is and should not outlive the result."""
        return None if self.is_default else self.cache.deletable_key(self.digest)

    def store(self) -> None:
        """Put a new latent into the cache, where the settings allow it."""
        if self.is_new:
            self.cache.store(self.digest, self.latent, self.is_default)


def compute_latent(picture: Picture, detector: Detector, context: SwapContext, phases: Phases, recipe: str) -> Latent:
    """The latent of the largest face of a picture; `recipe` is the digest that it is stored under.

    Raises NoFaceInSource, the errors of loading the models, or OutOfTime.
    """
    from functions.swap.face import align, detect, embed
    from layers.engine.onnx_embedder import normalise, to_latent

    hint = context.models.manifest.hint
    with phases("detect"):
        faces = detector.find(picture.pixels, context.deadline)
    if not faces:
        raise NoFaceInSource(
            join_hint("No face was found in the source picture. Use one that shows the face clearly.", hint)
        )
    face = detect.find_largest(faces)
    if align.rejection_reason(face, picture.width, picture.height):
        raise NoFaceInSource(
            join_hint("The face in the source picture is too small, or cut off by its edge. Use a larger one.", hint)
        )
    with phases("models"):
        network = context.models.embedder(context.deadline)
        emap = context.models.emap(context.deadline)
    with phases("embed"):
        embedding = embed.embed_face(picture.pixels, face, network)
        return Latent(to_latent(embedding, emap), normalise(embedding), recipe)


def join_hint(sentence: str, hint: str | None) -> str:
    """A sentence with the pack's own hint, if it has one, about which faces it detects."""
    return f"{sentence} {hint}" if hint else sentence
