"""Onnxruntime as everyone uses it, for comparison."""

from __future__ import annotations

import onnxruntime

from layers.engine.session import session_options


def quiet(threads: int = 2) -> onnxruntime.SessionOptions:
    """Onnxruntime's defaults, but for the threads and no warnings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = session_options(1).log_severity_level
    return options
