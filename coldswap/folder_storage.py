"""Storage whose buckets are folders: for the command and the library, which have no cloud."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from layers.core.deadline import Deadline
from layers.core.errors import ObjectNotFound, TooLarge
from layers.core.storage import Head, Storage, StoredObject


class FolderStorage(Storage):
    """Objects as files under `root`/bucket/key. Buckets in `elsewhere` are folders of other places."""

    def __init__(self, root: Path, elsewhere: Mapping[str, Path] | None = None) -> None:
        self._root = root
        self._elsewhere = elsewhere or {}

    def read(self, bucket: str, key: str, limit: int, deadline: Deadline) -> StoredObject:
        with self._existing_path(bucket, key).open("rb") as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise TooLarge(f"{key} has more than the {limit} bytes that are allowed.")
        return StoredObject(data, "", None)

    def read_start(self, bucket: str, key: str, count: int) -> bytes:
        with self._existing_path(bucket, key).open("rb") as file:
            return file.read(count)

    def head(self, bucket: str, key: str) -> Head | None:
        path = self._path(bucket, key)
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
        self._path(bucket, key).unlink(missing_ok=True)

    def presign_get(self, bucket: str, key: str, seconds: int, filename: str | None = None) -> str:
        return self._path(bucket, key).absolute().as_uri()

    def _path(self, bucket: str, key: str) -> Path:
        return self._elsewhere.get(bucket, self._root / bucket) / key

    def _existing_path(self, bucket: str, key: str) -> Path:
        path = self._path(bucket, key)
        if not path.exists():
            raise ObjectNotFound(f"There is nothing at s3://{bucket}/{key}.")
        return path

    @contextmanager
    def _write_whole(self, bucket: str, key: str) -> Iterator[Path]:
        """A file to write that becomes the object at the end of the block: a reader sees all of it or nothing."""
        path = self._path(bucket, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            part = Path(folder, "part")
            yield part
            part.replace(path)
