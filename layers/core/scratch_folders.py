"""Folders for work files, that a sandbox which was reset in the middle of a request does not keep.

Lambda resets a sandbox after a crash or a time-out: it ends the process and starts another on the same disk, whose /tmp
it does not clear (Lambda's developer guide, "execution environment lifecycle"). So whoever works in a folder holds a
lock on it, which ends with the process, however that ends; and what nobody holds is removed at the next start.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch_folder(prefix: str) -> Iterator[Path]:
    """An empty folder in the temporary directory that is gone afterwards; `prefix` begins its name."""
    path, lock = _locked(prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(prefix: str) -> None:
    """Remove what processes that are gone left under names that begin so."""
    for path in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # gone meanwhile, or no folder
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
        except OSError:
            pass  # somebody works in it
        finally:
            os.close(lock)


def _locked(prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)  # swept away by another process of this machine, before it was locked
