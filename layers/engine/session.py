"""Sets onnxruntime up: few threads, no spinning, and memory given back as soon as it is free."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

# glibc's mallopt parameters (malloc.h). A fixed threshold stops it from keeping ever larger blocks for later.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MMAP_THRESHOLD_BYTES = 1 << 20
ARENAS = 2
# The same while frames come one after another: what one of them needed, the next one needs again.
ROOMY_MMAP_BYTES, ROOMY_TRIM_BYTES = 32 << 20, 256 << 20  # the first is glibc's largest


def trim() -> None:
    """Return freed memory that glibc keeps to the system; takes a few milliseconds."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def lean_malloc() -> None:
    """Make glibc return freed tensors to the system at once. Does nothing with another C library."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)


@contextmanager
def roomy_malloc() -> Iterator[None]:
    """Let glibc keep freed memory until the end: to the system and back, a frame of 1080p takes 2 ms each time."""
    lean_malloc()
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    try:
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, ROOMY_MMAP_BYTES)
            mallopt(M_TRIM_THRESHOLD, ROOMY_TRIM_BYTES)
        yield
    finally:
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
            mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)
        trim()


def import_onnxruntime() -> Any:
    """Import onnxruntime with its telemetry off.

    The published packages send events to Microsoft, and write an identifier of the machine into the home. Only this
    variable keeps them from doing either, and it is read once, by the first import; on Windows the call does it.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    return onnxruntime


def session_options(threads: int) -> Any:
    """Make onnxruntime.SessionOptions for a sandbox that is small, and frozen between requests."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # An arena keeps for ever what the widest layer needed; patterns allocate a whole run's tensors as one block.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A spinning thread eats the CPU share of the others: Lambda gives less than one core below 1,769 MB.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


class LeanSession:
    """An onnxruntime.InferenceSession that keeps none of the memory of its runs.

    Within a run, its arena gives a layer what earlier ones have freed. Without it, every tensor of more than a megabyte
    would come from the system and go back to it, which takes as long as the network. Several threads may share it.
    """

    def __init__(self, inference_session: Any) -> None:
        """`inference_session` has an arena."""
        self._session = inference_session
        self._options = import_onnxruntime().RunOptions()
        self._options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self.get_inputs, self.get_outputs = inference_session.get_inputs, inference_session.get_outputs

    def run(self, names: Sequence[str] | None, feeds: Mapping[str, Any]) -> list[Any]:
        """As onnxruntime.InferenceSession has it: the outputs of these names, of all if None."""
        outputs: list[Any] = self._session.run(names, feeds, self._options)
        return outputs


def session(model: bytes, threads: int) -> Any:
    """Make an onnxruntime.InferenceSession of an ordinary ONNX file.

    Not fully optimised: the last level makes copies of the weights in another layout, which is not worth the memory
    for a network that runs once.
    """
    onnxruntime = import_onnxruntime()
    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return _session(model, options)


def small_session(model: bytes, threads: int) -> LeanSession:
    """Make a session of an ordinary ONNX file with few weights that runs often: fully optimised, with an arena."""
    onnxruntime = import_onnxruntime()
    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.enable_cpu_mem_arena = True
    return LeanSession(_session(model, options))


def stage_session(graph: bytes, threads: int) -> Any:
    """Make a session of a graph whose weights are inputs in fp16, each followed by its Cast.

    Nothing is optimised: constant folding would copy the weights. Each Cast runs just before its
    consumer (PRIORITY_BASED); in the default order all of them run first, and every fp32 copy is alive at once.
    """
    onnxruntime = import_onnxruntime()
    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return _session(graph, options)


def _session(model: bytes, options: Any) -> Any:
    onnxruntime = import_onnxruntime()
    lean_malloc()
    inference_session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    inference_session._model_bytes = None  # a second copy, for changing providers, which never happens
    return inference_session
