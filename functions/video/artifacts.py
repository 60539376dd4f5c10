"""Intermediate files by what they are made from: a step whose key exists has nothing left to do."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from layers.core.deadline import Deadline
from layers.core.errors import MediaTooLarge, ObjectNotFound, TooLarge, WorkGone
from layers.core.storage import Storage
from layers.core.units import MIB

T = TypeVar("T")

MOST_JSON = 4 * MIB
# What is used again and is older than this is written anew. Half of the shortest life that the bucket's lifecycle gives
# (a day), so that what a workflow (four hours at most) relies on outlasts it.
FRESH_SECONDS = 12 * 3600


class ArtifactStore:
    """Objects under work/ of the outputs bucket, of one owner: what another had made is not found, not even by how long
    it takes, and not deleted.

    Errors are Storage's, but for WorkGone where an object that somebody relies on is not there. `used` are the keys
    that were relied on since `track`, `written` those among them that were written.
    """

    def __init__(self, storage: Storage, bucket: str, now: Callable[[], float] = time.time, owner: str = "") -> None:
        self._storage = storage
        self._bucket = bucket
        self._now = now
        self._owner = owner
        self.used: set[str] = set()
        self.written: set[str] = set()

    def track(self, owner: str) -> ArtifactStore:
        """That owner's store (a caller's pseudonym), with nothing used or written yet."""
        return ArtifactStore(self._storage, self._bucket, self._now, owner)

    def key(self, kind: str, suffix: str, *inputs: Any) -> str:
        """`work/KIND/DIGEST.SUFFIX` by the SHA-256 of owner and inputs as JSON; what changes the result is in them."""
        parts = [self._owner, *inputs]
        encoded = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
        return f"work/{kind}/{hashlib.sha256(encoded.encode()).hexdigest()}.{suffix}"

    def rely_on(self, *keys: str) -> None:
        """What somebody relies on without reading it here belongs to what was used too."""
        self.used.update(keys)

    def reuse_file(self, key: str) -> bool:
        """Whether the object is there; if so it stays for as long as a workflow may need it."""
        head = self._storage.head(self._bucket, key)
        if head is None:
            return False
        if head.written is not None and self._now() - head.written >= FRESH_SECONDS:
            try:
                self._storage.renew(self._bucket, key, head)
            except ObjectNotFound:  # it was deleted at this very moment
                return False
        self.rely_on(key)
        return True

    def reuse(self, key: str, kind: type[T], deadline: Deadline, media: Callable[[T], str] | None = None) -> T | None:
        """What was put there, if all of it is there: also the file whose key `media` finds in it.

        The file stays at least as long as what points to it.
        """
        try:
            value = self.get(key, kind, deadline)
        except WorkGone:
            return None
        whole = (media is None or self.reuse_file(media(value))) and self.reuse_file(key)
        return value if whole else None

    def put(self, key: str, value: T) -> None:
        """A dataclass as JSON."""
        self.put_bytes(key, _adapter(type(value)).dump_json(value), "application/json")

    def get(self, key: str, kind: type[T], deadline: Deadline) -> T:
        """What was put there."""
        with self._relied_on(key):
            data = self._storage.read(self._bucket, key, MOST_JSON, deadline).data
        value: T = _adapter(kind).validate_json(data)
        return value

    def put_bytes(self, key: str, data: bytes, content_type: str) -> None:
        """Bytes that are in memory anyway."""
        self.rely_on(key)
        self.written.add(key)
        self._storage.write(self._bucket, key, data, content_type)

    def put_file(self, key: str, path: Path, content_type: str) -> None:
        """The file's bytes, whole or not at all, streamed."""
        self.rely_on(key)
        self.written.add(key)
        self._storage.upload(self._bucket, key, path, content_type)

    def get_file(self, key: str, path: Path, limit: int, deadline: Deadline) -> None:
        """Streamed into a file; at most `limit` bytes."""
        with self._relied_on(key):
            self._storage.download(self._bucket, key, path, limit, deadline)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        head = self._storage.head(self._bucket, key)
        if head is None:
            raise _gone(key)
        return head.size

    def publish(self, key: str, to: str) -> None:
        """A copy under a key of the same bucket, outside of work/."""
        with self._relied_on(key):
            self._storage.copy(self._bucket, key, to)

    def discard(self) -> None:
        """Delete what was made: nobody wants it any more."""
        for key in sorted(self.written):
            self._storage.delete(self._bucket, key)

    @contextmanager
    def _relied_on(self, key: str) -> Iterator[None]:
        self.rely_on(key)
        try:
            yield
        except ObjectNotFound:
            raise _gone(key) from None
        except TooLarge as error:
            raise MediaTooLarge(str(error)) from None


def _gone(key: str) -> WorkGone:
    return WorkGone(f"An intermediate file ({key.split('/')[1]}) was deleted while the video was made.")


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not part of a key")


def _adapter(kind: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
