"""Limits a process to a share of the processors and to some memory, by Linux control groups of either version."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
PERIOD = 20_000  # microseconds


def available() -> bool:
    """Whether this process may create control groups."""
    return _is_unified() or (os.access(ROOT / "cpu", os.W_OK) and os.access(ROOT / "memory", os.W_OK))


def _is_unified() -> bool:
    """Whether control groups are version 2, with both controllers for child groups."""
    control = ROOT / "cgroup.subtree_control"
    return os.access(control, os.W_OK) and {"cpu", "memory"} <= set(control.read_text().split())


@contextmanager
def limit(processors: float, memory_mb: int) -> Iterator[Callable[[], None]]:
    """Create a limited group for the block; yields the function that a child calls to enter it (preexec_fn)."""
    name, quota = f"coldswap-{uuid.uuid4().hex[:8]}", str(int(processors * PERIOD))
    if _is_unified():
        folders = {ROOT / name: {"cpu.max": f"{quota} {PERIOD}", "memory.max": str(memory_mb << 20)}}
    else:
        folders = {
            ROOT / "cpu" / name: {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": quota},
            ROOT / "memory" / name: {"memory.limit_in_bytes": str(memory_mb << 20)},
        }
    try:
        for folder, values in folders.items():
            folder.mkdir()
            for file, value in values.items():
                (folder / file).write_text(value)

        def enter() -> None:
            for folder in folders:
                (folder / "cgroup.procs").write_text(str(os.getpid()))

        yield enter
    finally:
        for folder in folders:
            if folder.exists():
                folder.rmdir()
