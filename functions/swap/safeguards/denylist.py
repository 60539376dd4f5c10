"""The operator's do-not-swap list: faces that are neither put into a picture nor replaced in one.

One document in the models bucket, absent until somebody is on it (`python -m tools.denylist`). A list that is not empty
needs an embedding of every face that is to be swapped, so each request with it loads the embedder. What cannot be
compared is refused: a list that is damaged, or made by another embedder than the pack's, stops every swap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from functions.swap.latent_cache import decode_vector, encode_vector
from functions.swap.values import Floats
from layers.core.deadline import Deadline
from layers.core.errors import ObjectNotFound, SafeguardFailed, TooLarge

if TYPE_CHECKING:
    from layers.core.storage import Storage

KEY = "refused/faces.json"
FORMAT = 1
MAX_BYTES = 16 << 20  # some 5,500 faces
THRESHOLD = 0.3
"""Cosine of two embeddings from which on they are one person's, where the operator says nothing.

What users of ArcFace networks take (deepface: 0.32, ailia: 0.26), on the side of refusing. docs/responsible-use.md has
what it gives on drawn faces.
"""


@dataclass(frozen=True)
class DeniedFace:
    """One face on the list. A person may have several, of several pictures or by several embedders."""

    person: str  # the operator's name for it; nothing is made of it
    embedder: str  # digest of the model in the pack
    values: Floats  # float32 [512], unit embedding
    added: str  # date


@dataclass(frozen=True)
class Denylist:
    """The list as it is now."""

    entries: tuple[DeniedFace, ...] = ()
    threshold: float = THRESHOLD

    @staticmethod
    def parse(data: bytes) -> Denylist:
        """Raises SafeguardFailed for what `dump` did not write."""
        try:
            tree = json.loads(data)
            if tree["format"] != FORMAT:
                raise ValueError
            threshold = float(tree["threshold"])
            if not isinstance(tree["faces"], list):
                raise TypeError
            entries = tuple(
                DeniedFace(
                    str(each["person"]), str(each["embedder"]), decode_vector(each["values"]), str(each["added"])
                )
                for each in tree["faces"]
            )
        except (ValueError, KeyError, TypeError, RecursionError):
            raise SafeguardFailed("The do-not-swap list is damaged, so nothing is swapped.") from None
        if not 0 < threshold < 1:
            raise SafeguardFailed("The do-not-swap list has a threshold that is none, so nothing is swapped.")
        return Denylist(entries, threshold)

    def dump(self) -> bytes:
        """As it lies in the bucket."""
        faces: list[dict[str, Any]] = [
            {
                "person": each.person,
                "embedder": each.embedder,
                "added": each.added,
                "values": encode_vector(each.values),
            }
            for each in self.entries
        ]
        return json.dumps({"format": FORMAT, "threshold": self.threshold, "faces": faces}).encode()

    def unknown_to(self, embedder: str) -> list[str]:
        """People on the list of whom this embedder has no face."""
        known = {each.person for each in self.entries if each.embedder == embedder}
        return sorted({each.person for each in self.entries} - known)

    def comparing(self, embedder: str) -> Comparison:
        """By embeddings of the embedder with that digest. Raises SafeguardFailed where somebody has no face of it."""
        if self.unknown_to(embedder):
            raise SafeguardFailed(
                "The do-not-swap list was made with another embedder than that of the models in use, so nothing is "
                "swapped. Add its faces again."
            )
        known = [each.values for each in self.entries if each.embedder == embedder]
        return Comparison(np.stack(known), self.threshold)


@dataclass(frozen=True)
class Comparison:
    """Who is refused, by one embedder."""

    known: Floats  # float32 [N, 512]
    threshold: float

    def refuses(self, embedding: Floats) -> bool:
        """Whether that float32 [512], of any length, is somebody on the list; what is not finite is."""
        unit = embedding / np.linalg.norm(embedding)
        return not float((self.known @ unit).max()) < self.threshold


class DenylistStore:
    """The list in a models bucket; it is read again when it has changed."""

    def __init__(self, storage: Storage, bucket: str) -> None:
        self._storage = storage
        self._bucket = bucket
        # Together, for a thread of a request that ended early may still be here when the next request comes.
        self._known: tuple[str, Denylist] | None = None

    def now(self, deadline: Deadline) -> Denylist:
        """The list; empty where there is none. Raises SafeguardFailed, StorageFailed or OutOfTime."""
        head = self._storage.head(self._bucket, KEY)
        if head is None:
            return Denylist()
        known = self._known
        if known and known[0] == head.etag:
            return known[1]
        try:
            stored = self._storage.read(self._bucket, KEY, MAX_BYTES, deadline)
        except ObjectNotFound:
            return Denylist()  # taken away between the two
        except TooLarge:
            raise SafeguardFailed("The do-not-swap list is too long, so nothing is swapped.") from None
        faces = Denylist.parse(stored.data)
        self._known = stored.etag, faces
        return faces
