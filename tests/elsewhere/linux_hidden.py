"""Takes from a Python process what Linux alone has, as far as macOS lacks it. Imported at the start of each process.

sys.platform stays as it is: packages choose their libraries by it.
"""

from __future__ import annotations

import builtins
import ctypes
import io
import os
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

FUNCTIONS = (
    *("sched_getaffinity", "sched_setaffinity", "waitid", "pidfd_open", "memfd_create", "posix_fadvise", "eventfd"),
    *("getrandom", "sendfile", "copy_file_range", "splice", "setns", "unshare", "process_cpu_count"),
)
MODULES = ("awslambdaric", "runtime_client")
LIBRARY_FUNCTIONS = ("prctl", "mallopt", "malloc_trim")
FOLDERS = ("/proc", "/sys")


def hide() -> None:
    """Take them from this process."""
    for name in FUNCTIONS:
        if hasattr(os, name):
            delattr(os, name)
    for module, name in ((builtins, "open"), (io, "open"), (os, "open")):
        _hide_folders(module, name)
    _hide_modules()
    _hide_library_functions()


def _hide_folders(module: ModuleType, name: str) -> None:
    real = getattr(module, name)

    def open_elsewhere(file: Any, *arguments: Any, **options: Any) -> Any:
        path = os.fsdecode(file) if isinstance(file, str | bytes | os.PathLike) else ""
        if path.startswith(tuple(f"{folder}/" for folder in FOLDERS)):
            raise FileNotFoundError(2, "No such file or directory", path)
        return real(file, *arguments, **options)

    _replace(module, name, open_elsewhere)


def _hide_modules() -> None:
    real = PathFinder.find_spec

    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in MODULES else real(name, path, target)

    _replace(PathFinder, "find_spec", find_spec)


def _hide_library_functions() -> None:
    real = ctypes.CDLL.__getitem__

    def get(library: ctypes.CDLL, name: Any) -> Any:
        if name in LIBRARY_FUNCTIONS:
            raise AttributeError(name)
        return real(library, name)

    _replace(ctypes.CDLL, "__getitem__", get)


def _replace(owner: object, name: str, value: object) -> None:
    setattr(owner, name, value)


hide()
