"""Intermediate files by what they are made from: a step whose key exists has nothing left to do."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from layers.core.deadline import Deadline
from layers.core.settings import MIB
from layers.core.storage import Storage

T = TypeVar("T")

MOST_JSON = 4 * MIB


class Work:
    """Objects under work/ of the outputs bucket. Errors are Storage's."""

    def __init__(self, storage: Storage, bucket: str) -> None:
        self._storage = storage
        self._bucket = bucket

    @staticmethod
    def key(kind: str, suffix: str, *inputs: Any) -> str:
        """`work/KIND/DIGEST.SUFFIX` by the SHA-256 of the inputs as JSON; all that changes the result is in them."""
        said = json.dumps(inputs, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=_plain)
        return f"work/{kind}/{hashlib.sha256(said.encode()).hexdigest()}.{suffix}"

    def exists(self, key: str) -> bool:
        """Whether the object is there."""
        return self._storage.head(self._bucket, key) is not None

    def put(self, key: str, value: T) -> None:
        """A dataclass as JSON."""
        self._storage.write(self._bucket, key, _adapter(type(value)).dump_json(value), "application/json")

    def get(self, key: str, kind: type[T], deadline: Deadline) -> T:
        """What was put there."""
        data = self._storage.read(self._bucket, key, MOST_JSON, deadline).data
        value: T = _adapter(kind).validate_json(data)
        return value

    def put_bytes(self, key: str, data: bytes, content_type: str) -> None:
        """Bytes that are in memory anyway."""
        self._storage.write(self._bucket, key, data, content_type)

    def put_file(self, key: str, path: Path, content_type: str) -> None:
        """The file's bytes, whole or not at all, streamed."""
        self._storage.upload(self._bucket, key, path, content_type)

    def get_file(self, key: str, path: Path, limit: int, deadline: Deadline) -> None:
        """Streamed into a file; at most `limit` bytes."""
        self._storage.download(self._bucket, key, path, limit, deadline)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"{type(value).__name__} is not part of a key")


def _adapter(kind: type[Any]) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
