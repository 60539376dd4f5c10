"""Reading Lambda's report of an invocation from the end of its log."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tools.lambda_report import InvocationReport, read_report

REQUEST = "5f6d8a0e-27a1-4a55-9a3c-1d1f0a4b7c11"
TEXT = f"REPORT RequestId: {REQUEST}\tDuration: 2411.07 ms\tBilled Duration: {{billed}} ms\tMemory Size: 1769 MB\t"
TEXT += "Max Memory Used: 655 MB\t"


def encode(log: str) -> str:
    return base64.b64encode(log.encode()).decode()


def record(status: str = "success", **metrics: float) -> str:
    """Lambda's record in a JSON log."""
    all_metrics: dict[str, float] = {"durationMs": 2411.07, "billedDurationMs": 2412} | metrics
    all_metrics |= {"memorySizeMB": 1769, "maxMemoryUsedMB": 655}
    content: dict[str, Any] = {"requestId": REQUEST, "metrics": all_metrics, "status": status}
    return json.dumps({"time": "2026-11-28T21:00:00.123Z", "type": "platform.report", "record": content})


WARM = InvocationReport(2411.07, 2412, 1769, 655)
COLD = InvocationReport(2411.07, 3366, 1769, 655, init_ms=954.21)
RESTORED = InvocationReport(2411.07, 2595, 1769, 655, restore_ms=398.97)


@pytest.mark.parametrize(
    ("log", "report"),
    [
        (TEXT.format(billed=2412), WARM),
        (TEXT.format(billed=3366) + "Init Duration: 954.21 ms\t", COLD),
        (TEXT.format(billed=2595) + "Restore Duration: 398.97 ms\tBilled Restore Duration: 184 ms\t", RESTORED),
        (record(), WARM),
        (record(billedDurationMs=3366, initDurationMs=954.21), COLD),
        (record(billedDurationMs=2595, restoreDurationMs=398.97, billedRestoreDurationMs=184), RESTORED),
    ],
)
def test_both_formats_say_the_same(log: str, report: InvocationReport) -> None:
    assert read_report(encode(log)) == report
    assert report.is_cold == (report != WARM)


@pytest.mark.parametrize("log", [TEXT.format(billed=2412), record()])
def test_the_report_is_found_among_other_lines(log: str) -> None:
    before = f'uted ms": 12}}\nSTART RequestId: {REQUEST} Version: $LATEST\n{{"level": "INFO"}}\n'
    after = "\nXRAY TraceId: 1-6352a70e-1e2c502e358361800241fd45\tSegmentId: 35465b3a9e2f7c6a\tSampled: true\t\n\n"

    assert read_report(encode(before + log + after)) == WARM


def test_a_line_of_the_function_s_own_is_no_report() -> None:
    copied = json.dumps({"level": "INFO", "message": TEXT.format(billed=1)})

    assert read_report(encode(f"{record()}\n{copied}\n")) == WARM


@pytest.mark.parametrize("log", [TEXT.format(billed=120000) + "Status: timeout", record("timeout")])
def test_a_timeout_is_a_status(log: str) -> None:
    report = read_report(encode(log))

    assert report is not None
    assert report.status == "timeout"


@pytest.mark.parametrize(
    "log",
    [
        "",
        f"START RequestId: {REQUEST} Version: $LATEST\nEND RequestId: {REQUEST}\n",
        "INIT_REPORT Init Duration: 10008.31 ms\tPhase: init\tStatus: timeout",
        f"REPORT RequestId: {REQUEST}\tDuration: 12.00 ms",
        "[1, 2]\nnull\n\ufffd{",
    ],
)
def test_a_log_may_have_no_report(log: str) -> None:
    assert read_report(encode(log)) is None
