"""What the operator sees: structured logs, metrics, the time that each phase took, and the memory at its highest."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

NAMESPACE = "Coldswap"  # of the metrics


@cache
def logger() -> Any:
    """The process's powertools logger: one JSON object a line, to stdout, where Lambda collects it."""
    from aws_lambda_powertools import Logger

    return Logger()


def correlate(name: str, lambda_request_id: str) -> None:
    """Let every line from here on carry the id that the caller is told, whoever chose it, beside Lambda's own."""
    logger().set_correlation_id(name)
    logger().append_keys(lambda_request_id=lambda_request_id)


def emit(counts: Mapping[str, float], timings_ms: Mapping[str, float], cold_start: bool) -> None:
    """One CloudWatch record in embedded metric format: bytes and counts, milliseconds by phase, a cold start.

    Peaks of memory also come as their sum in percent of the sandbox's, for an alarm on any MemorySize.
    """
    from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_metric("ColdStart", MetricUnit.Count, float(cold_start))
    for phase, spent in timings_ms.items():
        metrics.add_metric(f"Time{phase.capitalize()}", MetricUnit.Milliseconds, spent)
    for name, value in counts.items():
        metrics.add_metric(name, _unit(name), value)
    peak = sum(value for name, value in counts.items() if name.endswith("PeakMemory"))
    if peak and (size := os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")):  # in MiB
        metrics.add_metric("MemoryPercent", MetricUnit.Percent, round(100 * peak * 1e6 / (int(size) << 20), 1))
    metrics.flush_metrics()


def _unit(name: str) -> Any:
    from aws_lambda_powertools.metrics import MetricUnit

    if name.startswith("Bytes"):
        return MetricUnit.Bytes
    return MetricUnit.Megabytes if name.endswith("Memory") else MetricUnit.Count


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
