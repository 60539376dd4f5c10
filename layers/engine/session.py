"""How onnxruntime is set up here: few threads, no spinning, and memory given back as soon as it is free."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

# glibc's mallopt parameters (malloc.h). A fixed threshold turns off its habit of keeping ever larger blocks for later.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MMAP_THRESHOLD_BYTES = 1 << 20
ARENAS = 2


def trim() -> None:
    """Gives back what glibc keeps of freed memory; takes a few milliseconds."""
    malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


@cache
def lean_malloc() -> None:
    """Makes glibc return freed tensors to the system at once. Does nothing where the C library is another one."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, ARENAS)
        mallopt(M_MMAP_THRESHOLD, MMAP_THRESHOLD_BYTES)
        mallopt(M_TRIM_THRESHOLD, MMAP_THRESHOLD_BYTES)


def session_options(threads: int) -> Any:
    """onnxruntime.SessionOptions for a sandbox that is small, and frozen between requests."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    # An arena keeps what the widest layer needed, for ever; patterns allocate a whole run's tensors as one block.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # A spinning thread eats the CPU share of the others: Lambda gives less than one core below 1,769 MB.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def session(model: bytes, threads: int) -> Any:
    """An onnxruntime.InferenceSession over an ordinary ONNX file.

    Not fully optimised: the last level lays the weights out anew, and gains a small network less time than it costs
    memory.
    """
    import onnxruntime

    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    return _session(model, options)


def stage_session(graph: bytes, threads: int) -> Any:
    """A session over a graph whose weights are inputs in fp16, each followed by its Cast.

    Nothing is optimised: constant folding would make a second copy of what it finds. Each Cast runs just before its
    consumer (PRIORITY_BASED); in the default order all of them run first, and every fp32 copy is alive at once.
    """
    import onnxruntime

    options = session_options(threads)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    return _session(graph, options)


def _session(model: bytes, options: Any) -> Any:
    import onnxruntime

    lean_malloc()
    onnxruntime.disable_telemetry_events()
    made = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    made._model_bytes = None  # the wrapper's second copy, for a change of provider that never comes
    return made
