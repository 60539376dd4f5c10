"""Runs the inswapper network on the native engine: a thin binding, which hands on weights as they arrive."""

from __future__ import annotations

import ctypes
import json
import threading
from dataclasses import dataclass
from typing import Any

import numpy as np

from layers.core.errors import ModelsCorrupt
from layers.engine.native_library import Miscalculates as Miscalculates
from layers.engine.native_library import Unavailable as Unavailable
from layers.engine.native_library import check, weight_table
from layers.engine.native_library import library as library
from layers.engine.stages import Weights
from layers.engine.swapper import Floats

FORMAT = 1
CONVOLUTIONS, STYLES = 20, 12
STEP_BYTES = 1 << 20  # of weights; their arrival is announced in such steps
FAILED, NO_MEMORY = 1, 2


@dataclass(frozen=True)
class Description:
    """What the engine has to know about a network of the inswapper family; the blob `native` of a pack."""

    width: int  # channels of the first layer
    epsilon: float  # added to the variance by every normalisation
    weights: tuple[
        tuple[int, bool], ...
    ]  # of each layer: offset in the flat file (bytes), and whether they are half floats
    biases: Floats  # of all layers, one after the other

    def dump(self) -> bytes:
        """Serialise: a line of JSON, and the biases behind it."""
        weights = [[at, int(half)] for at, half in self.weights]
        head = {"format": FORMAT, "width": self.width, "epsilon": self.epsilon, "weights": weights}
        return json.dumps(head).encode() + b"\n" + self.biases.astype("<f4").tobytes()

    @property
    def min_window_bytes(self) -> int:
        """The least window: the most bytes between the first that a layer, or any later one, needs and that layer's
        last."""
        sizes = [
            int(np.prod(shape)) * (2 if half else 4)
            for shape, (_, half) in zip(layer_shapes(self.width), self.weights, strict=True)
        ]
        styled = [each for i in range(STYLES) for each in (CONVOLUTIONS + i, 4 + i)]
        order = [*range(4), *styled, *range(4 + STYLES, CONVOLUTIONS)]
        first, window = sum(sizes) + self.weights[0][0], 0
        for layer in reversed(order):
            at = self.weights[layer][0]
            first = min(first, at)
            window = max(window, at + sizes[layer] - first)
        return window

    @staticmethod
    def parse(data: bytes, size: int) -> Description:
        """Parse a blob; `size` is that of the flat file in bytes. Blobs are verified, so a fault is the publisher's.

        Raises ModelsCorrupt, or Unavailable for a format that is newer than this code.
        """
        line, _, rest = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head["format"] != FORMAT:
                raise Unavailable(f"the pack describes the network in format {head['format']}")
            width, epsilon = int(head["width"]), float(head["epsilon"])
            weights = tuple((int(at), bool(half)) for at, half in head["weights"])
            biases = np.frombuffer(rest, "<f4").astype(np.float32)
        except (ValueError, KeyError, TypeError) as error:
            raise ModelsCorrupt("The description of a network cannot be read. Publish the pack again.") from error
        shapes = layer_shapes(width)
        fits = (
            width > 0
            and 0 <= epsilon < 1
            and width % 16 == 0
            and len(weights) == len(shapes)
            and biases.size == sum(shape[0] for shape in shapes)
            and all(
                at >= 0 and at % 2 == 0 and at + int(np.prod(shape)) * (2 if half else 4) <= size
                for (at, half), shape in zip(weights, shapes, strict=True)
            )
            and all(half for (_, half), shape in zip(weights, shapes, strict=True) if shape[2:] == (3, 3))
        )
        if not fits:
            raise ModelsCorrupt("The description of a network does not fit its weights. Publish the pack again.")
        return Description(width, epsilon, weights, biases)


def layer_shapes(width: int) -> list[tuple[int, ...]]:
    """Shapes of the weights, output channels first: convolutions (OIHW) of encoder, blocks and decoder, then styles."""
    w = width
    encoder = [(w, 3, 7, 7), (2 * w, w, 3, 3), (4 * w, 2 * w, 3, 3), (8 * w, 4 * w, 3, 3)]
    blocks = [(8 * w, 8 * w, 3, 3)] * STYLES
    decoder = [(4 * w, 8 * w, 3, 3), (2 * w, 4 * w, 3, 3), (w, 2 * w, 3, 3), (3, w, 7, 7)]
    return [*encoder, *blocks, *decoder, *[(16 * w, 512)] * STYLES]


class NativeSwapper:
    """A Swapper that starts as soon as the first bytes of its weights have arrived."""

    def __init__(
        self, description: Description, weights: Weights, threads: int, instructions: str = "", lean: bool = False
    ) -> None:
        """`instructions` is avx2, avx512, or "" for the best; `lean` suits a small sandbox. Raises Unavailable."""
        self._library = library()
        if instructions:
            check(self._library, instructions)
        self._memory = np.frombuffer(weights.memory(), np.uint8)
        self._required_bytes = description.min_window_bytes + STEP_BYTES
        self.window: int | None = self._required_bytes
        table = weight_table(description.weights)
        biases = np.ascontiguousarray(description.biases, np.float32)
        self._engine = self._library.coldswap_create(
            description.width,
            description.epsilon,
            max(threads, 1),
            int(lean),
            instructions.encode(),
            self._memory.ctypes.data,
            ctypes.addressof(table),
            biases.ctypes.data,
        )
        if not self._engine:
            raise Unavailable("there is not enough memory for it")
        self._weights: Weights | None = weights
        self._feeding: threading.Thread | None = None  # the only one that may call the engine beside the run
        self._lock = threading.Lock()
        self.name = f"native {self._library.coldswap_instructions(self._engine).decode()}"

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """Swap float32 crops [N, 3, 128, 128], RGB in [0, 1], by float32 latents [N, 512] of unit length; return crops.

        All faces go through together, so that each weight is read once. Waits for weights that are still arriving, and
        raises what that raises. Weights in a window are released as soon as their layer is done. Raises ValueError for
        other shapes, or if the window is too small for a layer.
        """
        if self._weights is None:
            raise RuntimeError("this swapper is closed")
        if len(crops) != len(latents):
            raise ValueError(f"{len(crops)} crops but {len(latents)} latents")
        if crops.shape[1:] != (3, 128, 128) or latents.shape[1:] != (512,):
            raise ValueError(f"crops {crops.shape} or latents {latents.shape} have another shape")
        crops, latents = (np.ascontiguousarray(each, np.float32) for each in (crops, latents))
        swapped = np.empty_like(crops)
        if not len(crops):
            return swapped
        window = self._weights.window
        if window is not None and window < self._required_bytes:
            raise ValueError(f"a layer needs {self._required_bytes} bytes at one time, but the window has {window}")
        errors: list[BaseException] = []
        self._library.coldswap_restart(self._engine)
        feeding = threading.Thread(target=self._feed, args=(self._weights, errors), name="weights", daemon=True)
        releasing = threading.Thread(target=self._release, args=(self._weights,), name="window", daemon=True)
        self._feeding = feeding
        feeding.start()
        if window is not None:
            releasing.start()
        try:
            pointers = (each.ctypes.data for each in (crops, latents, swapped))
            verdict = self._library.coldswap_run(self._engine, len(crops), *pointers)
            if verdict == NO_MEMORY:
                raise MemoryError("the swapper's workspace")
            feeding.join()
        finally:
            with self._lock:
                self._feeding = None
            if window is not None:
                self._library.coldswap_fail(self._engine)  # however the run ended, it releases nothing more
                releasing.join()
        if verdict == FAILED:
            raise errors[0]
        return swapped

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
        """Give the weights back to the system. A closed swapper cannot run again."""
        if self._weights is not None:
            self._library.coldswap_destroy(self._engine)
            self._weights.close()
        self._weights = None

    def __del__(self) -> None:
        """Free the engine if nobody closed it, but not the weights, which may be another's."""
        if getattr(self, "_weights", None) is not None:
            self._library.coldswap_destroy(self._engine)
