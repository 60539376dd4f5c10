"""What Lambda reports of one invocation: the last record of its log, in either format that a function may have."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

RECORD = "platform.report"  # the type of the record in a JSON log
FIELDS = {
    "Duration": "durationMs",
    "Billed Duration": "billedDurationMs",
    "Memory Size": "memorySizeMB",
    "Max Memory Used": "maxMemoryUsedMB",
    "Init Duration": "initDurationMs",
    "Restore Duration": "restoreDurationMs",
}
"""Names in a text log, and in a JSON log (Lambda's developer guide, "Telemetry API event schema reference")."""


@dataclass(frozen=True)
class InvocationReport:
    """Milliseconds and megabytes of one invocation."""

    duration_ms: float  # of the handler
    billed_ms: float  # INIT is part of it, and what is billed of a snapshot's restoration
    memory_mb: int
    max_memory_mb: int  # of all invocations of the sandbox so far
    init_ms: float | None = None  # None in a sandbox that was there already, or was made ahead of time
    restore_ms: float | None = None  # None without SnapStart
    status: str = "success"  # or error, failure, timeout

    @property
    def is_cold(self) -> bool:
        """Whether the sandbox was made for this invocation."""
        return self.init_ms is not None or self.restore_ms is not None


def read_report(log_result: str) -> InvocationReport | None:
    """The report in `LogResult`, the last 4 KB of the log in base64, which may begin inside a line; None if there is
    none."""
    log = base64.b64decode(log_result).decode("utf-8", "replace")
    for line in reversed(log.splitlines()):
        if (metrics := _read_json(line) or _read_text(line)) is not None:
            return _make_report(metrics)
    return None


def _read_json(line: str) -> Mapping[str, Any] | None:
    try:
        document = json.loads(line)
    except ValueError:
        return None
    if not isinstance(document, dict) or document.get("type") != RECORD:
        return None
    record = document.get("record", {})
    return {**record.get("metrics", {}), "status": record.get("status", "success")}


def _read_text(line: str) -> Mapping[str, Any] | None:
    """Fields are separated by tabs, and XRAY's follow on a line of their own."""
    if not line.startswith("REPORT RequestId:"):
        return None
    pairs = dict(re.findall(r"(?:^|\t)([A-Z][A-Za-z ]+): ([^\t]+)", line))
    metrics = {name: float(pairs[label].split()[0]) for label, name in FIELDS.items() if label in pairs}
    return {**metrics, "status": pairs.get("Status", "success").strip()}


def _make_report(metrics: Mapping[str, Any]) -> InvocationReport | None:
    """The report; None if it lacks what every report has."""
    try:
        return InvocationReport(
            duration_ms=float(metrics["durationMs"]),
            billed_ms=float(metrics["billedDurationMs"]),
            memory_mb=int(metrics["memorySizeMB"]),
            max_memory_mb=int(metrics["maxMemoryUsedMB"]),
            init_ms=metrics.get("initDurationMs"),
            restore_ms=metrics.get("restoreDurationMs"),
            status=str(metrics["status"]),
        )
    except KeyError:
        return None
