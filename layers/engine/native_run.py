"""Runs a network on the native engine: hands on its weights as they arrive, and releases them as they are used."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from layers.engine.native_library import Unavailable, check, library, make_options
from layers.engine.stages import Weights
from layers.engine.swapper import Floats

STEP_BYTES = 1 << 20  # of weights; their arrival is announced in such steps
FAILED, NO_MEMORY = 1, 2


def window_bytes(layers: Sequence[tuple[int, int]]) -> int:
    """The least window for layers in order of use, each with its offset and its size in bytes: the most bytes between
    the first that a layer, or any later one, needs and that layer's last."""
    first, window = max(at + size for at, size in layers), 0
    for at, size in reversed(layers):
        first = min(first, at)
        window = max(window, at + size - first)
    return window


class NativeNetwork:
    """A network that starts as soon as the first bytes of its weights have arrived."""

    def __init__(
        self,
        create: Callable[[Any, Any], int | None],
        layers: Sequence[tuple[int, bool]],
        weights: Weights,
        min_window_bytes: int,
        threads: int,
        instructions: str,
        lean: bool,
    ) -> None:
        """`create` makes the engine, by the library and a pointer to its options. Raises Unavailable.

        `layers` has each layer's offset in the flat file in bytes, and whether its weights are half floats;
        `instructions` is avx2, avx512, or "" for the best; `lean` suits a small sandbox.
        """
        self._library = library()
        if instructions:
            check(self._library, instructions)
        self._memory = np.frombuffer(weights.memory(), np.uint8)
        self.window = min_window_bytes + STEP_BYTES
        options = make_options(threads, lean, instructions, self._memory.ctypes.data, layers)
        self._engine = create(self._library, ctypes.byref(options))
        if not self._engine:
            raise Unavailable("there is not enough memory for it")
        self._weights: Weights | None = weights
        self._feeding: threading.Thread | None = None  # the only one that may call the engine beside the run
        self._lock = threading.Lock()
        self.name = f"native {self._library.coldswap_instructions(self._engine).decode()}"

    def run(self, count: int, images: Floats, latents: Floats | None, out: Floats) -> None:
        """Run `count` images, C-contiguous float32 as is `out`, which is filled; a swapper takes latents too.

        Waits for weights that are still arriving, and raises what that raises. Weights in a window are released as soon
        as their layer is done. Raises ValueError if the window is too small for a layer.
        """
        if self._weights is None:
            raise RuntimeError("this network is closed")
        if not count:
            return
        window = self._weights.window
        if window is not None and window < self.window:
            raise ValueError(f"a layer needs {self.window} bytes at one time, but the window has {window}")
        errors: list[BaseException] = []
        self._library.coldswap_restart(self._engine)
        feeding = threading.Thread(target=self._feed, args=(self._weights, errors), name="weights", daemon=True)
        releasing = threading.Thread(target=self._release, args=(self._weights,), name="window", daemon=True)
        self._feeding = feeding
        try:
            feeding.start()
            if window is not None:
                releasing.start()
            latents_address = None if latents is None else latents.ctypes.data
            verdict = self._library.coldswap_run(
                self._engine, count, images.ctypes.data, latents_address, out.ctypes.data
            )
            if verdict == NO_MEMORY:
                raise MemoryError("the network's workspace")
            feeding.join()
        finally:
            with self._lock:
                self._feeding = None
            if releasing.is_alive():
                self._library.coldswap_fail(self._engine)  # however the run ended, it releases nothing more
                releasing.join()
        if verdict == FAILED:
            raise errors[0]

    def _feed(self, weights: Weights, errors: list[BaseException]) -> None:
        """Tell the engine which bytes of the weights have arrived."""
        try:
            for at in range(0, len(self._memory), STEP_BYTES):
                upto = min(at + STEP_BYTES, len(self._memory))
                weights.wait(upto)
                if not self._call(self._library.coldswap_advance, upto):
                    return
        except BaseException as error:
            errors.append(error)
            self._call(self._library.coldswap_fail)

    def _release(self, weights: Weights) -> None:
        """Release weights that the run is done with, until it has ended."""
        released = 0
        while (released_now := self._library.coldswap_released(self._engine, released)) > released:
            weights.release(released_now)
            released = released_now

    def _call(self, call: Any, *values: int) -> bool:
        """Call the engine from the feeding thread, unless its run is over: it may wait for weights longer than that."""
        with self._lock:
            mine = self._feeding is threading.current_thread()
            if mine:
                call(self._engine, *values)
            return mine

    def close(self) -> None:
        """Give the weights back to the system. A closed network cannot run again."""
        if self._weights is not None:
            self._library.coldswap_destroy(self._engine)
            self._weights.close()
        self._weights = None

    def __del__(self) -> None:
        """Free the engine if nobody closed it, but not the weights, which may be another's."""
        if getattr(self, "_weights", None) is not None:
            self._library.coldswap_destroy(self._engine)
