"""How far something is, told on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

Show = Callable[[str, int, int], None]  # what, bytes done, bytes in all (0 where that is not known)
WIDTH = 30


def silent(what: str, done: int, total: int) -> None:
    """Says nothing."""


class Bars:
    """A bar on a terminal, redrawn as its percentage changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._drawn: tuple[str, int] = ("", -1)

    def __call__(self, what: str, done: int, total: int) -> None:
        """As `Show`."""
        step = 100 * done // total if total else done >> 20
        if (what, step) == self._drawn:
            return
        self._drawn = (what, step)
        filled = WIDTH * min(done, total) // total if total else 0
        size = f"{done / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{done / 1e6:.1f} MB"
        end = "\n" if total and done >= total else ""
        self._stream.write(f"\r{what:<28.28} [{'#' * filled:<{WIDTH}}] {size:<24}{end}")
        self._stream.flush()


def shown(as_json: bool) -> Show:
    """Bars where a person looks on."""
    return Bars(sys.stderr) if sys.stderr.isatty() and not as_json else silent
