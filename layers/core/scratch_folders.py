"""Folders for temporary files that are removed even if the sandbox is reset in the middle of a request.

Lambda resets a sandbox after a crash or a time-out: it ends the process and starts another on the same disk, whose /tmp
it does not clear (Lambda's developer guide, "execution environment lifecycle"). So a process that works in a folder
holds a lock on it, which ends with the process, however that ends; the next start removes what nobody has locked.
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
    """Make an empty folder in the temporary directory, and remove it afterwards; its name begins with `prefix`."""
    path, lock = _make_locked_folder(prefix)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def sweep(prefix: str) -> None:
    """Remove the folders of that prefix that processes left behind when they ended."""
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


def _make_locked_folder(prefix: str) -> tuple[Path, int]:
    while True:
        path = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return path, lock
        os.close(lock)  # swept away by another process of this machine, before it was locked
