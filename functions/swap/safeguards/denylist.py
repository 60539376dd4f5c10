"""The operator's do-not-swap list: people whose faces are neither put into a picture nor replaced in one.

It is one document in the models bucket, absent until somebody is on it (`python -m tools.denylist`). With a list that
is not empty, every face that is to be swapped needs an embedding, so each request loads the embedder. What cannot be
compared is refused: a list that is damaged, or made with an embedder other than the pack's, stops every swap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
"""Cosine similarity from which two embeddings count as the same person's, unless the operator sets another.

Chosen to err on the side of refusing, among the values in use with ArcFace networks (deepface: 0.32, ailia: 0.26).
docs/responsible-use.md says how it does on drawn faces.
"""


@dataclass(frozen=True)
class DeniedFace:
    """One face on the list. A person may have several: from several pictures, or by several embedders."""

    person: str  # the operator's name for the person; used for nothing else
    embedder: str  # digest of the model in the pack
    values: Floats  # float32 [512], unit embedding
    added: str  # date


@dataclass(frozen=True)
class Denylist:
    """The list, and the threshold that goes with it."""

    entries: tuple[DeniedFace, ...] = ()
    threshold: float = THRESHOLD

    @staticmethod
    def parse(data: bytes) -> Denylist:
        """The list in a document. Raises SafeguardFailed for anything that `dump` did not write."""
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
            raise SafeguardFailed("The do-not-swap list's threshold must be between 0 and 1, so nothing is swapped.")
        return Denylist(entries, threshold)

    def dump(self) -> bytes:
        """The document in the bucket."""
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

    def people_without(self, embedder: str) -> list[str]:
        """People on the list who have no face by the embedder with that digest."""
        people = {each.person for each in self.entries if each.embedder == embedder}
        return sorted({each.person for each in self.entries} - people)

    def build_matcher(self, embedder: str) -> DenylistMatcher:
        """A matcher for embeddings by the embedder with that digest.

        Raises SafeguardFailed if somebody on the list has no face by it.
        """
        if self.people_without(embedder):
            raise SafeguardFailed(
                "The do-not-swap list was made with a different embedder than the models in use, so nothing is "
                "swapped. Add its faces again."
            )
        import numpy as np

        embeddings = [each.values for each in self.entries if each.embedder == embedder]
        return DenylistMatcher(np.stack(embeddings), self.threshold)


@dataclass(frozen=True)
class DenylistMatcher:
    """The list's embeddings by one embedder."""

    embeddings: Floats  # float32 [N, 512], unit length
    threshold: float

    def matches(self, embedding: Floats) -> bool:
        """Whether an embedding, float32 [512] of any length, is somebody's on the list; also True if not finite."""
        import numpy as np

        unit = embedding / np.linalg.norm(embedding)
        return not float((self.embeddings @ unit).max()) < self.threshold


class DenylistStore:
    """The list in a models bucket, read again only after it has changed."""

    def __init__(self, storage: Storage, bucket: str) -> None:
        self._storage = storage
        self._bucket = bucket
        # ETag and list in one value: a thread of a request that ended early may still run during the next request.
        self._cached: tuple[str, Denylist] | None = None

    def load(self, deadline: Deadline) -> Denylist:
        """The current list, empty if there is no document. Raises SafeguardFailed, StorageFailed or OutOfTime."""
        head = self._storage.head(self._bucket, KEY)
        if head is None:
            return Denylist()
        cached = self._cached
        if cached and cached[0] == head.etag:
            return cached[1]
        try:
            stored = self._storage.read(self._bucket, KEY, MAX_BYTES, deadline)
        except ObjectNotFound:
            return Denylist()  # deleted between the two calls
        except TooLarge:
            raise SafeguardFailed("The do-not-swap list is too long, so nothing is swapped.") from None
        denylist = Denylist.parse(stored.data)
        self._cached = stored.etag, denylist
        return denylist
