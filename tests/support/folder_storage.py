"""Storage whose buckets are folders, so that a benchmark of media work measures nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import ObjectNotFound, TooLarge
from layers.core.storage import Head, Storage, StoredObject


class FolderStorage(Storage):
    """Objects as files under `root`/bucket/key."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self, bucket: str, key: str, limit: int, deadline: Deadline) -> StoredObject:
        data = self._existing_path(bucket, key).read_bytes()
        if len(data) > limit:
            raise TooLarge(f"{key} has {len(data)} bytes; at most {limit} are allowed.")
        return StoredObject(data, "", None)

    def head(self, bucket: str, key: str) -> Head | None:
        path = self._root / bucket / key
        if not path.exists():
            return None
        about = path.stat()
        return Head(about.st_size, f'"{about.st_mtime_ns}"', None, last_modified=about.st_mtime)

    def write(
        self, bucket: str, key: str, data: bytes, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        with self._write_whole(bucket, key) as path:
            path.write_bytes(data)

    def download(self, bucket: str, key: str, path: Path, limit: int, deadline: Deadline) -> int:
        shutil.copyfile(self._existing_path(bucket, key), path)
        return path.stat().st_size

    def upload(
        self, bucket: str, key: str, path: Path, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        with self._write_whole(bucket, key) as part:
            shutil.copyfile(path, part)

    def copy(self, bucket: str, key: str, to: str) -> None:
        with self._write_whole(bucket, to) as part:
            shutil.copyfile(self._existing_path(bucket, key), part)

    def renew(self, bucket: str, key: str, head: Head) -> None:
        os.utime(self._existing_path(bucket, key), (time.time(), time.time()))

    def delete(self, bucket: str, key: str) -> None:
        (self._root / bucket / key).unlink(missing_ok=True)

    def _existing_path(self, bucket: str, key: str) -> Path:
        path = self._root / bucket / key
        if not path.exists():
            raise ObjectNotFound(f"There is nothing at s3://{bucket}/{key}.")
        return path

    @contextmanager
    def _write_whole(self, bucket: str, key: str) -> Iterator[Path]:
        """A file to write that becomes the object at the end of the block: a reader sees all of it or nothing."""
        path = self._root / bucket / key
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, "part")
            yield part
            part.replace(path)
