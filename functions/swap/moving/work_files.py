"""The files that the steps of one moving meme's swap hand on: work/swaps/ID/ of the outputs bucket.

The bucket's lifecycle deletes what is under work/ a day later, if nobody else does.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from functions.swap.context import SwapContext
from layers.core.errors import ObjectNotFound, TooLarge, WorkGone
from layers.core.units import MIB

MOST_BYTES = 16 * MIB  # of one file that is read into memory; the largest chunk has 6 MB
_BINARY = "application/octet-stream"
_SOURCE = "source"  # metadata: a digest, because a URL may hold a secret


class WorkFiles:
    """The work files of one swap, by names within its folder."""

    def __init__(self, name: str, context: SwapContext) -> None:
        """`name`: the id of the swap."""
        self._folder = f"work/swaps/{name}"
        self._context = context
        self._storage, self._bucket = context.storage, context.settings.outputs_bucket

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name. Raises StorageFailed, as all methods do."""
        return self._storage.head(self._bucket, self._key(name)) is not None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        self._context.deadline.check("writing work files")
        self._storage.write(self._bucket, self._key(name), content, _BINARY)

    def find(self, name: str) -> bytes | None:
        """The content of a file; None if there is none. Raises OutOfTime, as all methods do that read."""
        try:
            return self._storage.read(self._bucket, self._key(name), MOST_BYTES, self._context.deadline).data
        except (ObjectNotFound, TooLarge):
            return None

    def read(self, name: str) -> bytes:
        """The content of a file. Raises WorkGone."""
        content = self.find(name)
        if content is None:
            raise gone(name)
        return content

    def upload(self, name: str, path: Path, source: str = "") -> None:
        """Stream a file into one of that name; `source`: a URL that it comes from."""
        metadata = {_SOURCE: _digest(source)} if source else None
        self._storage.upload(self._bucket, self._key(name), path, _BINARY, metadata)

    def comes_from(self, name: str, source: str) -> bool:
        """Whether there is a file of that name that was uploaded from that URL."""
        head = self._storage.head(self._bucket, self._key(name))
        return head is not None and head.metadata.get(_SOURCE) == _digest(source)

    def download(self, name: str, path: Path) -> None:
        """Stream the file of that name into another. Raises WorkGone or StorageFull."""
        limit = self._context.settings.max_moving_bytes
        try:
            self._storage.download(self._bucket, self._key(name), path, limit, self._context.deadline)
        except (ObjectNotFound, TooLarge):
            raise gone(name) from None

    def delete(self, name: str) -> None:
        """Delete a file, if it exists."""
        self._storage.delete(self._bucket, self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._folder}/{name}"


def gone(name: str) -> WorkGone:
    """What to raise where a file is missing."""
    return WorkGone(f"An intermediate file ({name.split('/')[0]}) was deleted while the meme was being swapped.")


def _digest(url: str) -> str:
    return hashlib.sha256(url.encode()).hexdigest()
