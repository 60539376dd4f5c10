"""Intermediate files, kept under keys made of what they are made from: a step whose key exists has nothing to do."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict, is_dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from layers.core.deadline import Deadline
from layers.core.errors import MediaTooLarge, ObjectNotFound, TooLarge, WorkGone
from layers.core.storage import Storage
from layers.core.units import MIB

T = TypeVar("T")

MOST_JSON = 4 * MIB
# An artifact that is used again and is older than this is written anew. Half of the shortest life that the bucket's
# lifecycle gives (a day), so that what a workflow (four hours at most) relies on outlasts it.
FRESH_SECONDS = 12 * 3600


def recipe(*modules: ModuleType, without: Collection[str] = ()) -> dict[str, Any]:
    """The way in which these modules make things, as an input of `ArtifactStore.key`: their upper-case constants.

    Every key is made of a step's inputs, of the texts that it hands to other programs (ffmpeg's arguments, captions,
    the label), and of this, so that nobody has to remember to change a key. Where code that is in none of them decides
    what is made, the module has a VERSION, which is raised with that code. `without` names constants that change
    nothing in a result: time-outs, and limits that only raise errors.
    """
    return {
        module.__name__: {name: value for name, value in constants(module).items() if name not in without}
        for module in modules
    }


def constants(module: ModuleType) -> dict[str, Any]:
    """The upper-case values of a module by their names, also those that it imports; without types (`IO`)."""
    return {name: value for name, value in vars(module).items() if name.isupper() and not isinstance(value, type)}


class ArtifactStore:
    """The objects under work/ of the outputs bucket that belong to one owner. Nobody finds another owner's, not even by
    how long a look-up takes, or deletes them.

    Errors are Storage's, except for WorkGone where an object that somebody relies on is missing. `used` holds the keys
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
        """The store of that owner (a caller's pseudonym), with nothing used or written yet."""
        return ArtifactStore(self._storage, self._bucket, self._now, owner)

    def key(self, kind: str, suffix: str, *inputs: Any) -> str:
        """`work/KIND/DIGEST.SUFFIX`, by the SHA-256 of owner and inputs as JSON.

        Everything that changes the result is among the inputs (see `recipe`). Raises TypeError for a value that has no
        form in JSON.
        """
        parts = [self._owner, *inputs]
        encoded = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_to_json)
        return f"work/{kind}/{hashlib.sha256(encoded.encode()).hexdigest()}.{suffix}"

    def rely_on(self, *keys: str) -> None:
        """Count keys as used that somebody relies on without reading them here."""
        self.used.update(keys)

    def reuse_file(self, key: str) -> bool:
        """Whether the object exists; if so it stays for as long as a workflow may need it."""
        head = self._storage.head(self._bucket, key)
        if head is None:
            return False
        if head.last_modified is not None and self._now() - head.last_modified >= FRESH_SECONDS:
            try:
                self._storage.renew(self._bucket, key, head)
            except ObjectNotFound:  # it was deleted at this very moment
                return False
        self.rely_on(key)
        return True

    def reuse(self, key: str, kind: type[T], deadline: Deadline, media: Callable[[T], str] | None = None) -> T | None:
        """The stored value, if it is complete: the file whose key `media` finds in it must exist too.

        The file stays at least as long as the value that points to it.
        """
        try:
            value = self.get(key, kind, deadline)
        except WorkGone:
            return None
        complete = (media is None or self.reuse_file(media(value))) and self.reuse_file(key)
        return value if complete else None

    def put(self, key: str, value: T) -> None:
        """Store a dataclass as JSON."""
        self.put_bytes(key, _adapter(type(value)).dump_json(value), "application/json")

    def get(self, key: str, kind: type[T], deadline: Deadline) -> T:
        """The value that `put` stored."""
        with self._reliance(key):
            data = self._storage.read(self._bucket, key, MOST_JSON, deadline).data
        value: T = _adapter(kind).validate_json(data)
        return value

    def put_bytes(self, key: str, data: bytes, content_type: str) -> None:
        """Store bytes that are in memory anyway."""
        self.rely_on(key)
        self.written.add(key)
        self._storage.write(self._bucket, key, data, content_type)

    def put_file(self, key: str, path: Path, content_type: str) -> None:
        """Store a file, completely or not at all; it is streamed."""
        self.rely_on(key)
        self.written.add(key)
        self._storage.upload(self._bucket, key, path, content_type)

    def get_file(self, key: str, path: Path, limit: int, deadline: Deadline) -> None:
        """Stream an object of at most `limit` bytes into a file."""
        with self._reliance(key):
            self._storage.download(self._bucket, key, path, limit, deadline)

    def size(self, key: str) -> int:
        """Bytes of an object."""
        head = self._storage.head(self._bucket, key)
        if head is None:
            raise _work_gone(key)
        return head.size

    def publish(self, key: str, to: str) -> None:
        """Copy an object to a key of the same bucket, outside of work/."""
        with self._reliance(key):
            self._storage.copy(self._bucket, key, to)

    def discard(self) -> None:
        """Delete what was written: nobody wants it any more."""
        for key in sorted(self.written):
            self._storage.delete(self._bucket, key)

    @contextmanager
    def _reliance(self, key: str) -> Iterator[None]:
        self.rely_on(key)
        try:
            yield
        except ObjectNotFound:
            raise _work_gone(key) from None
        except TooLarge as error:
            raise MediaTooLarge(str(error)) from None


def _work_gone(key: str) -> WorkGone:
    return WorkGone(f"An intermediate file ({key.split('/')[1]}) was deleted while the video was being made.")


def _to_json(value: Any) -> Any:
    """The form in a key of a value that JSON itself does not know."""
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, re.Pattern):
        return [value.pattern, value.flags]
    raise TypeError(f"{type(value).__name__} cannot be part of a key")


def _adapter(kind: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
