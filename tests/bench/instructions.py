"""In a process of a benchmark: whether it is held to AVX2, and how the native engine hears of it.

hold.py does the rest. Nothing heavy is imported here, since what a process imports is part of what is measured.
"""

from __future__ import annotations

import os
from functools import partial

SWITCH = "BENCH_INSTRUCTIONS"  # in the environment of a held process


def wanted() -> str:
    """The instructions that this process is held to, as the native engine takes them; "" for the machine's best."""
    return os.environ.get(SWITCH, "")


def hold_engine() -> None:
    """In a held process, every native swapper is made with those instructions."""
    if wanted():
        from unittest import mock

        from layers.engine import native_swapper

        held = partial(native_swapper.NativeSwapper, instructions=wanted())
        mock.patch.object(native_swapper, "NativeSwapper", held).start()
