"""The inswapper network on the native engine: a thin binding, and how weights that are still coming reach it."""

from __future__ import annotations

import ctypes
import json
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from layers.core.errors import ModelsCorrupt
from layers.core.telemetry import logger
from layers.engine.build import LIBRARY
from layers.engine.stages import Weights
from layers.engine.swapper import Floats

FORMAT = 1
CONVOLUTIONS, STYLES = 20, 12
STEP_BYTES = 1 << 20  # of weights, between two announcements of their arrival
FAILED, NO_MEMORY = 1, 2


class Unavailable(Exception):
    """The engine cannot be used here; the message says why."""


class Miscalculates(Unavailable):
    """It runs, and its numbers are wrong."""


class _Weights(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_int64), ("half", ctypes.c_int32), ("reserved", ctypes.c_int32))


@dataclass(frozen=True)
class Description:
    """What the engine has to know of a network of the family; the blob `native` of a pack."""

    width: int  # channels of the first layer
    epsilon: float  # that a normalisation adds to the variance
    weights: tuple[tuple[int, bool], ...]  # of each layer: offset in the flat file, and whether it holds halves
    biases: Floats  # of all layers, one after the other

    def dump(self) -> bytes:
        """A line of JSON, and the biases behind it."""
        weights = [[at, int(half)] for at, half in self.weights]
        head = {"format": FORMAT, "width": self.width, "epsilon": self.epsilon, "weights": weights}
        return json.dumps(head).encode() + b"\n" + self.biases.astype("<f4").tobytes()

    @property
    def widest(self) -> int:
        """Bytes of weights that must be there at one time: from the first that a layer or a later one uses to the
        layer's last."""
        sizes = [
            int(np.prod(shape)) * (2 if half else 4)
            for shape, (_, half) in zip(layer_shapes(self.width), self.weights, strict=True)
        ]
        styled = [each for i in range(STYLES) for each in (CONVOLUTIONS + i, 4 + i)]
        order = [*range(4), *styled, *range(4 + STYLES, CONVOLUTIONS)]
        first, widest = sum(sizes) + self.weights[0][0], 0
        for layer in reversed(order):
            at = self.weights[layer][0]
            first = min(first, at)
            widest = max(widest, at + sizes[layer] - first)
        return widest

    @staticmethod
    def parse(data: bytes, size: int) -> Description:
        """`size`: bytes of the flat file. The blob is verified by now, so a fault is the publisher's.

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
    """Of the weights, output channels first: convolutions (OIHW) of the encoder, the blocks and the decoder; styles."""
    w = width
    encoder = [(w, 3, 7, 7), (2 * w, w, 3, 3), (4 * w, 2 * w, 3, 3), (8 * w, 4 * w, 3, 3)]
    blocks = [(8 * w, 8 * w, 3, 3)] * STYLES
    decoder = [(4 * w, 8 * w, 3, 3), (2 * w, 4 * w, 3, 3), (w, 2 * w, 3, 3), (3, w, 7, 7)]
    return [*encoder, *blocks, *decoder, *[(16 * w, 512)] * STYLES]


@cache
def library() -> Any:
    """The compiled engine, checked on this processor. Raises Unavailable."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise Unavailable("it is not compiled (make engine)") from error
    pointer, size = ctypes.c_void_p, ctypes.c_uint64
    found.coldswap_create.restype = pointer
    number = ctypes.c_int
    found.coldswap_create.argtypes = [number, ctypes.c_float, number, number, ctypes.c_char_p, *[pointer] * 3]
    for name in ("destroy", "fail", "restart", "trim"):
        getattr(found, f"coldswap_{name}").argtypes = [pointer]
        getattr(found, f"coldswap_{name}").restype = None
    found.coldswap_advance.argtypes = [pointer, size]
    found.coldswap_advance.restype = None
    found.coldswap_released.argtypes = [pointer, size]
    found.coldswap_released.restype = size
    found.coldswap_instructions.argtypes = [pointer]
    found.coldswap_instructions.restype = ctypes.c_char_p
    found.coldswap_run.argtypes = [pointer, ctypes.c_int, *[pointer] * 3]
    found.coldswap_check.argtypes = [ctypes.c_char_p]
    _check(found, b"")
    return found


def _check(found: Any, instructions: bytes) -> None:
    """Compilers have given silent zeros here once, so a small layer is computed twice before anything is trusted."""
    verdict = found.coldswap_check(instructions)
    if verdict == 1:
        raise Unavailable("this processor has not the instructions that it needs (AVX2, FMA, F16C)")
    if verdict:
        logger().error("the native engine miscalculates on this processor")
        raise Miscalculates("it miscalculates on this processor")


class NativeSwapper:
    """A Swapper that starts with the first bytes of its weights."""

    def __init__(
        self, description: Description, weights: Weights, threads: int, instructions: str = "", lean: bool = False
    ) -> None:
        """`instructions`: avx2 or avx512, or "" for the best; `lean` for a small sandbox. Raises Unavailable."""
        self._library = library()
        if instructions:
            _check(self._library, instructions.encode())
        self._memory = np.frombuffer(weights.memory(), np.uint8)
        self._at_once = description.widest + STEP_BYTES
        self.window: int | None = self._at_once
        table = (_Weights * len(description.weights))(*[_Weights(at, half, 0) for at, half in description.weights])
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
            raise Unavailable("there is no memory for it")
        self._weights: Weights | None = weights
        self._feeding: threading.Thread | None = None  # which alone may speak to the engine beside the run
        self._lock = threading.Lock()
        self.name = f"native {self._library.coldswap_instructions(self._engine).decode()}"

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """float32 [N, 3, 128, 128] RGB in [0, 1] and float32 [N, 512] of unit length; the same shape as the crops.

        All faces go through together: each weight is read once. Waits for weights that are still on their way, and
        raises what that raises. Weights in a window are released as soon as their layer is done; ValueError if the
        window is too small for a layer.
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
        if window is not None and window < self._at_once:
            raise ValueError(f"a layer needs {self._at_once} bytes at one time, the window has {window}")
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
                self._library.coldswap_fail(self._engine)  # whatever became of the run, nothing more is released by it
                releasing.join()
        if verdict == FAILED:
            raise errors[0]
        return swapped

    def _feed(self, weights: Weights, errors: list[BaseException]) -> None:
        """Announces the bytes as they come."""
        try:
            for at in range(0, len(self._memory), STEP_BYTES):
                upto = min(at + STEP_BYTES, len(self._memory))
                weights.wait(upto)
                if not self._tell(self._library.coldswap_advance, upto):
                    return
        except BaseException as error:
            errors.append(error)
            self._tell(self._library.coldswap_fail)

    def _release(self, weights: Weights) -> None:
        """Passes on which weights the run is done with, until it has ended."""
        done = 0
        while (now := self._library.coldswap_released(self._engine, done)) > done:
            weights.release(now)
            done = now

    def _tell(self, call: Any, *values: int) -> bool:
        """For the feeding thread: it may be waiting for weights long after its run, and after the engine."""
        with self._lock:
            mine = self._feeding is threading.current_thread()
            if mine:
                call(self._engine, *values)
            return mine

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper is not run again."""
        if self._weights is not None:
            self._library.coldswap_destroy(self._engine)
            self._weights.close()
        self._weights = None

    def __del__(self) -> None:
        """What nobody closed is given back all the same; its weights may be another's."""
        if getattr(self, "_weights", None) is not None:
            self._library.coldswap_destroy(self._engine)
