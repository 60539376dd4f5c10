"""Latents stored in S3, so that a face that comes again needs no embedder.

A latent is biometric data. The latent of the stack's default face is kept for good; that of any other face is stored
only where the operator allows it, and is not used after its time is over (the bucket's lifecycle deletes it).
"""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

from functions.swap.settings import Settings
from functions.swap.values import Floats, Latent
from layers.core.deadline import Deadline
from layers.core.errors import ObjectNotFound, StorageFailed, TooLarge

if TYPE_CHECKING:
    from layers.core.storage import Storage

LENGTH = 512
_MAX_BYTES = 32 << 10  # a document has about 6 KB, and 3 KB for each picture of an average


class LatentCache:
    """The latents made by one recipe, in the models bucket.

    The default face's latent is at latents/default/RECIPE/PICTURE.json. Those of other faces are at
    latents/others/CALLER/RECIPE/PICTURE.json, where only their caller finds them. PICTURE is the picture's digest; for
    several pictures of one person, the digest of all of theirs.
    """

    def __init__(self, storage: Storage, settings: Settings, recipe: str, caller: str | None) -> None:
        """`recipe`: from `latent_recipe`; `caller`: a pseudonym, None for the stack's own."""
        self._owner = caller or "stack"
        self._storage = storage
        self._settings = settings
        self.recipe = recipe

    @cached_property
    def _keeps_others(self) -> bool:
        """Asked once, so that a setting that changes meanwhile is the same for a whole request."""
        return self._settings.cache_latents

    def find(self, pictures: Collection[str], is_default: bool, deadline: Deadline) -> Latent | None:
        """The latent of the face in the pictures with these digests, if it is stored and may be used."""
        if not (is_default or self._keeps_others):
            return None
        key = self._key(pictures, is_default)
        try:
            stored = self._storage.read(self._settings.models_bucket, key, _MAX_BYTES, deadline)
        except (ObjectNotFound, TooLarge, StorageFailed):
            return None
        try:
            document = json.loads(stored.data)
            values, embedding = (decode_vector(document[name]) for name in ("values", "embedding"))
            parts = {digest: decode_vector(vector) for digest, vector in document.get("parts", {}).items()}
            age = time.time() - float(document["made"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
        if not is_default and not 0 <= age < self._settings.latent_seconds:
            return None
        if parts.keys() != (set(pictures) if len(pictures) > 1 else set()):
            return None
        return Latent(values, embedding, self.recipe, parts)

    def deletable_key(self, pictures: Collection[str]) -> str | None:
        """The key of a latent that is deleted with its result: any but the default face's, if it is stored at all."""
        return self._key(pictures, is_default=False) if self._keeps_others else None

    def store(self, pictures: Collection[str], latent: Latent, is_default: bool) -> None:
        """Write the latent where the settings allow it; a failure only makes the next request slower."""
        if not (is_default or self._keeps_others):
            return
        document: dict[str, Any] = {
            "made": time.time(),
            "values": encode_vector(latent.values),
            "embedding": encode_vector(latent.embedding),
        }
        if latent.parts:
            document["parts"] = {digest: encode_vector(embedding) for digest, embedding in latent.parts.items()}
        key = self._key(pictures, is_default)
        with suppress(StorageFailed):
            self._storage.write(self._settings.models_bucket, key, json.dumps(document).encode(), "application/json")

    def _key(self, pictures: Collection[str], is_default: bool) -> str:
        folder = "default" if is_default else f"others/{self._owner}"
        return f"latents/{folder}/{self.recipe}/{digest_together(pictures)}.json"


def digest_together(pictures: Collection[str]) -> str:
    """One digest for all pictures with these SHA-256 digests, whatever their order; a single picture's is its own."""
    if len(pictures) == 1:
        return next(iter(pictures))
    return hashlib.sha256("\n".join(sorted(pictures)).encode()).hexdigest()


def encode_vector(vector: Floats) -> str:
    """A vector as documents in the bucket have it: base64 of little-endian float32."""
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def decode_vector(text: object) -> Floats:
    """The float32 [512] of unit length that `encode_vector` encoded. Raises ValueError for anything else."""
    if not isinstance(text, str):
        raise ValueError("a vector must be a string")
    import numpy as np

    values = np.frombuffer(base64.b64decode(text, validate=True), "<f4").astype(np.float32)
    if values.shape != (LENGTH,) or not abs(float(np.linalg.norm(values)) - 1) < 1e-3:
        raise ValueError(f"a vector must have {LENGTH} numbers and unit length")
    return values


def latent_recipe(digests: Mapping[str, str], settings: Settings) -> str:
    """SHA-256 of all that decides the latent of a picture's face.

    These are the detector, the size and the plan of its looks (keypoints), the alignment (the crop), the embedder, and
    the embedding map, which comes with the swapper.
    """
    from functions.swap.face.align import EMBEDDER_SIZE, TEMPLATE
    from functions.swap.face.looks import PLAN

    models = [digests[name] for name in ("detector", "embedder", "swapper")]
    recipe = [*models, settings.detection_size, PLAN, EMBEDDER_SIZE, TEMPLATE.tolist()]
    return hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
