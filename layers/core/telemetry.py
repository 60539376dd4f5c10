"""What the operator sees: structured logs, metrics, the time that each phase took, and the memory at its highest."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, Literal

from layers.core.errors import ColdswapError, InternalError

NAMESPACE = "Coldswap"  # of the metrics

# All there are: CloudWatch charges for each by the month, for each function and stack (and release, of Fault).
Metric = Literal["Swapped", "Failed", "Fault", "MemoryPercent"]


@cache
def logger() -> Any:
    """The process's powertools logger: one JSON object a line, to stdout, where Lambda collects it."""
    from aws_lambda_powertools import Logger

    return Logger()


def correlate(name: str, lambda_request_id: str) -> None:
    """Let every line from here on carry the id that the caller is told, whoever chose it, beside Lambda's own."""
    logger().set_correlation_id(name)
    logger().append_keys(lambda_request_id=lambda_request_id)


def emit(values: Mapping[Metric, float], release: str = "") -> None:
    """One CloudWatch record in embedded metric format; with `release`, of that release alone."""
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
    """Peaks of memory, in MB, as their sum in percent of the sandbox's; nothing outside of one."""
    size = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")  # in MiB
    return {"MemoryPercent": round(100 * sum(peaks_mb) * 1e6 / (int(size) << 20), 1)} if size else {}


def count_fault(error: Exception, *, ended: bool = True, raised_here: bool = True) -> None:
    """Ring where the error is a fault; what is not of our family is one.

    `ended`: the request, or the workflow, ends with it, so that it counts once and not at each of its tries.
    `raised_here`: by this sandbox's release, and not by the one of which a workflow tells.
    """
    fault = error.fault if isinstance(error, ColdswapError) else InternalError.fault
    if fault and ended:
        emit({"Fault": 1})
    if fault == "release" and raised_here and (release := os.environ.get("RELEASE")):
        emit({"Fault": 1}, release)


class Phases:
    """Milliseconds spent, by phase; a phase entered again adds to its time. Phases may overlap on several threads."""

    def __init__(self) -> None:
        self._spent: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Time what happens inside, also when it fails."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = (time.perf_counter() - began) * 1000
            with self._lock:
                self._spent[name] = self._spent.get(name, 0.0) + spent

    def timings_ms(self) -> dict[str, float]:
        """In the order in which the phases first ended, to a tenth of a millisecond."""
        with self._lock:
            return {name: round(spent, 1) for name, spent in self._spent.items()}


def server_timing(timings: Mapping[str, float]) -> str:
    """Phases in milliseconds as the Server-Timing header has them (W3C Server Timing)."""
    return ", ".join(f"{name};dur={spent:g}" for name, spent in timings.items())


def peak_memory_mb() -> float:
    """The most memory this process has held, in MB of 10^6 bytes (VmHWM of proc_pid_status(5))."""
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) * 1024 / 1e6, 1)
    raise OSError("this system does not tell VmHWM")


_warm = False


def cold() -> bool:
    """Whether this is the first time that the process asks: a sandbox's first request."""
    global _warm
    first, _warm = not _warm, True
    return first
