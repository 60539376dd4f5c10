"""The compiled engine: loading it, and why it cannot be used."""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from typing import Any

from layers.core.telemetry import logger
from layers.engine.build import LIBRARY


class Unavailable(Exception):
    """The engine cannot be used here; the message says why."""


class Miscalculates(Unavailable):
    """The engine runs here, but its results are wrong."""


class _Weights(ctypes.Structure):
    _fields_ = (("offset", ctypes.c_int64), ("half", ctypes.c_int32), ("reserved", ctypes.c_int32))


class _Options(ctypes.Structure):
    _fields_ = (
        ("threads", ctypes.c_int32),
        ("lean", ctypes.c_int32),
        ("instructions", ctypes.c_char_p),
        ("weights", ctypes.c_void_p),
        ("layers", ctypes.POINTER(_Weights)),
    )


def make_options(
    threads: int, lean: bool, instructions: str, weights_address: int, layers: Iterable[tuple[int, bool]]
) -> _Options:
    """The engine's `coldswap_options`; each of `layers` is an offset in bytes, and whether its weights are halves."""
    rows = [_Weights(at, half, 0) for at, half in layers]
    table = (_Weights * len(rows))(*rows)
    return _Options(max(threads, 1), int(lean), instructions.encode(), weights_address, table)


@cache
def library() -> Any:
    """Load the compiled engine, and check it on this processor. Raises Unavailable."""
    try:
        engine = ctypes.CDLL(str(LIBRARY))
    except OSError as error:
        raise Unavailable("it has not been compiled (make engine)") from error
    pointer, size = ctypes.c_void_p, ctypes.c_uint64
    options, number = ctypes.POINTER(_Options), ctypes.c_int
    engine.coldswap_create_swapper.restype = engine.coldswap_create_embedder.restype = pointer
    engine.coldswap_create_swapper.argtypes = [options, number, ctypes.c_float, pointer]
    engine.coldswap_create_embedder.argtypes = [options, number, pointer, pointer]
    for name in ("destroy", "fail", "restart"):
        getattr(engine, f"coldswap_{name}").argtypes = [pointer]
        getattr(engine, f"coldswap_{name}").restype = None
    engine.coldswap_advance.argtypes = [pointer, size]
    engine.coldswap_advance.restype = None
    engine.coldswap_released.argtypes = [pointer, size]
    engine.coldswap_released.restype = size
    engine.coldswap_instructions.argtypes = [pointer]
    engine.coldswap_instructions.restype = ctypes.c_char_p
    engine.coldswap_run.argtypes = [pointer, number, *[pointer] * 3]
    engine.coldswap_check.argtypes = [ctypes.c_char_p]
    check(engine, "")
    return engine


def check(engine: Any, instructions: str) -> None:
    """Compute small layers in two ways; raises Unavailable if they differ. A compiler once produced silent zeros."""
    verdict = engine.coldswap_check(instructions.encode())
    if verdict == 1:
        raise Unavailable("this processor lacks the instructions that it needs (AVX2, FMA, F16C)")
    if verdict:
        logger().error("the native engine miscalculates on this processor")
        raise Miscalculates("it miscalculates on this processor")
