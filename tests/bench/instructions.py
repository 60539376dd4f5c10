"""Whether a benchmark's process is held to AVX2 (hold.py), and how that reaches the native engine.

Nothing heavy is imported here, since a process's imports are part of what is measured.
"""

from __future__ import annotations

import os
from functools import partial

SWITCH = "BENCH_INSTRUCTIONS"  # in the environment of a held process


def instruction_set() -> str:
    """The instruction set that this process is held to, by the native engine's name; "" for the machine's best."""
    return os.environ.get(SWITCH, "")


def hold_engine() -> None:
    """Make every native swapper and embedder of a held process with its instruction set."""
    if instruction_set():
        from unittest import mock

        from layers.engine import native_embedder, native_swapper

        swapper = partial(native_swapper.NativeSwapper, instructions=instruction_set())
        mock.patch.object(native_swapper, "NativeSwapper", swapper).start()
        embedder = partial(native_embedder.NativeEmbedder, instructions=instruction_set())
        mock.patch.object(native_embedder, "NativeEmbedder", embedder).start()
