"""What the operator sees: structured logs, metrics, the time that each phase took, and the peak of memory."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

from layers.core.errors import ColdswapError, InternalError
from layers.core.machine import peak_memory_mb as peak_memory_mb

NAMESPACE = "Coldswap"  # of the metrics

# CloudWatch charges by the month for each metric of each function and stack (Fault: and release), so these are all.
Metric = Literal["Swapped", "Failed", "Fault", "MemoryPercent"]


_chosen_loggers: list[logging.Logger] = []


def logger() -> Any:
    """The process's logger: the one that `log_to` chose, or Powertools': a JSON object per line on stdout, where Lambda
    collects it."""
    return _chosen_loggers[-1] if _chosen_loggers else _lambda_logger()


def log_to(logger: logging.Logger) -> None:
    """Log to this logger from now on: for a program whose stdout is its own."""
    _chosen_loggers[:] = [logger]


@cache
def _lambda_logger() -> Any:
    from aws_lambda_powertools import Logger

    return Logger()


def correlate(name: str, lambda_request_id: str) -> None:
    """Let every further line carry the id that the caller gets to see, whoever chose it, beside Lambda's own."""
    logger().set_correlation_id(name)
    logger().append_keys(lambda_request_id=lambda_request_id)


def emit(values: Mapping[Metric, float], release: str = "") -> None:
    """Write one CloudWatch record in embedded metric format; with `release`, for that release alone."""
    if not values:
        return
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace=NAMESPACE)  # its dimension `service` is POWERTOOLS_SERVICE_NAME
    if stack := os.environ.get("STACK_NAME"):
        metrics.add_dimension("stack", stack)
    if release:
        metrics.add_dimension("release", release)
    for name, value in values.items():
        metrics.add_metric(name, MetricUnit.Percent if name == "MemoryPercent" else MetricUnit.Count, value)
    metrics.flush_metrics()


def memory_percent(*peaks_mb: float) -> dict[Metric, float]:
    """The sum of these peaks of memory, in MB of 10^6 bytes, in percent of the sandbox's; empty outside of one."""
    size = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")  # in MiB
    return {"MemoryPercent": round(100 * sum(peaks_mb) * 1e6 / (int(size) << 20), 1)} if size else {}


def count_fault(error: Exception, *, ended: bool = True, raised_here: bool = True) -> None:
    """Count the error if it is a fault, so that an alarm goes off; an exception that is not of our family is one.

    `ended`: the request, or the workflow, ends with the error, so that it counts once and not at every try.
    `raised_here`: this sandbox's release raised it, not another one of which a workflow reports.
    """
    fault = error.fault if isinstance(error, ColdswapError) else InternalError.fault
    if fault and ended:
        emit({"Fault": 1})
    if fault == "release" and raised_here and (release := os.environ.get("RELEASE")):
        emit({"Fault": 1}, release)


class Phases:
    """Milliseconds by phase; a phase entered again adds to its time. Phases may overlap, on several threads."""

    def __init__(self) -> None:
        self._milliseconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside, even if it fails."""
        start = time.perf_counter()
        try:
            yield
        finally:
            milliseconds = (time.perf_counter() - start) * 1000
            with self._lock:
                self._milliseconds[name] = self._milliseconds.get(name, 0.0) + milliseconds

    def timings_ms(self) -> dict[str, float]:
        """Milliseconds to one decimal, by phase, in the order in which the phases first ended."""
        with self._lock:
            return {name: round(milliseconds, 1) for name, milliseconds in self._milliseconds.items()}


def server_timing(timings: Mapping[str, float]) -> str:
    """The Server-Timing header (W3C) for these phases, in milliseconds."""
    return ", ".join(f"{name};dur={milliseconds:g}" for name, milliseconds in timings.items())


_warm = False


def is_cold_start() -> bool:
    """Whether this is the first call in this process, and so the sandbox's first request."""
    global _warm
    first, _warm = not _warm, True
    return first
