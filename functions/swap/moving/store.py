"""Patches on disk: a thousand of them would fill the memory, and crops can be cut only once a track is steady."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np

from functions.swap.moving.patch import Patch


@contextmanager
def open_store(folder: Path) -> Iterator[PatchStore]:
    """An empty store, whose file in that folder is gone afterwards, whatever happens."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield PatchStore(file)


class PatchStore:
    """Patches by number, in one file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._index: list[tuple[int, tuple[int, ...], int, int, float]] = []

    def add(self, patch: Patch) -> int:
        """Write a patch. Returns its number."""
        start = self._file.seek(0, 2)
        self._file.write(np.ascontiguousarray(patch.pixels).data)
        self._index.append((start, patch.pixels.shape, patch.x, patch.y, patch.pitch))
        return len(self._index) - 1

    def read(self, number: int) -> Patch:
        """Read the patch of that number."""
        start, shape, x, y, pitch = self._index[number]
        self._file.seek(start)
        content = self._file.read(int(np.prod(shape)))
        return Patch(np.frombuffer(content, np.uint8).reshape(shape), x, y, pitch)
