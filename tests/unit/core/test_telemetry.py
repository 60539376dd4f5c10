"""Phases, metrics and the peak of memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from layers.core import telemetry


def test_a_phase_entered_twice_adds_up_and_counts_when_it_fails() -> None:
    phases = telemetry.Phases()
    for _ in range(2):
        with phases("one"):
            pass
    with pytest.raises(KeyError), phases("two"):
        raise KeyError
    assert list(phases.timings_ms()) == ["one", "two"]


def test_server_timing_is_as_the_w3c_has_it() -> None:
    assert telemetry.server_timing({"detect": 12.5, "swap": 300.0}) == "detect;dur=12.5, swap;dur=300"


def test_metrics_are_one_record_of_a_function_of_a_stack(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "swap")
    monkeypatch.setenv("STACK_NAME", "coldswap-staging")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "1000")
    telemetry.emit({"Swapped": 2, **telemetry.memory_percent(2**20 / 1e6 * 600, 2**20 / 1e6 * 300)})

    record = json.loads(capsys.readouterr().out)
    (directive,) = record["_aws"]["CloudWatchMetrics"]
    assert directive["Namespace"] == "Coldswap"
    assert [sorted(each) for each in directive["Dimensions"]] == [["service", "stack"]]
    assert (record["service"], record["stack"]) == ("swap", "coldswap-staging")
    assert {each["Name"]: each["Unit"] for each in directive["Metrics"]} == {
        "Swapped": "Count",
        "MemoryPercent": "Percent",
    }
    assert (record["Swapped"], record["MemoryPercent"]) == ([2.0], [90.0])


def test_nothing_to_tell_is_no_record(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", raising=False)

    telemetry.emit(telemetry.memory_percent(600))

    assert capsys.readouterr().out == ""


def test_peak_memory_grows_with_what_is_held_and_stays() -> None:
    code = (
        "from layers.core.telemetry import peak_memory_mb as peak; before = peak(); held = b'x' * 60_000_000; "
        "during = peak(); del held; print(before, during, peak())"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, during, after = map(float, process.stdout.split())
    assert before + 55 < during < before + 70
    assert after > during - 2  # the kernel counts a little loosely (proc_pid_status(5))
