"""Progress bars, on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TextIO

Show = Callable[[str, int, int], None]  # what, bytes done, bytes in all (0 if unknown)
BAR_WIDTH = 30


def show_nothing(what: str, current: int, total: int) -> None:
    """Show nothing."""


class ProgressBar:
    """A bar on a terminal, redrawn whenever its percentage changes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._last: tuple[str, int] = ("", -1)

    def __call__(self, what: str, current: int, total: int) -> None:
        """Draw the bar, as a `Show`."""
        step = 100 * current // total if total else current >> 20
        if (what, step) == self._last:
            return
        self._last = (what, step)
        filled = BAR_WIDTH * min(current, total) // total if total else 0
        size = f"{current / 1e6:.1f} of {total / 1e6:.1f} MB" if total else f"{current / 1e6:.1f} MB"
        end = "\n" if total and current >= total else ""
        self._stream.write(f"\r{what:<28.28} [{'#' * filled:<{BAR_WIDTH}}] {size:<24}{end}")
        self._stream.flush()


def choose_progress(as_json: bool) -> Show:
    """A progress bar if a person is looking on, otherwise nothing."""
    return ProgressBar(sys.stderr) if sys.stderr.isatty() and not as_json else show_nothing
