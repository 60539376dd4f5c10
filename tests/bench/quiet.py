"""Options of a default onnxruntime session, which the naive arms use."""

from __future__ import annotations

import onnxruntime

from layers.engine.session import session_options


def default_options(threads: int = 2) -> onnxruntime.SessionOptions:
    """onnxruntime's defaults, except the number of threads and no warnings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = session_options(1).log_severity_level
    return options
