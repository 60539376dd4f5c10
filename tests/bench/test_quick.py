"""That CI runs every benchmark: whatever there is here, some run of quick.py comes to it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import quick

HERE = Path(quick.__file__).parent
MODULES = {path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("__", "test_"))}
BENCHMARKS = {name for name in MODULES if "form.asked(" in (HERE / f"{name}.py").read_text()}


def mentioned(module: str) -> set[str]:
    """The modules here that it imports, or starts as a process."""
    source = (HERE / f"{module}.py").read_text()
    imported = " ".join(re.findall(r"^ *from tests\.bench import (.*?)(?:  #.*)?$", source, re.MULTILINE))
    return MODULES & {*re.findall(r"\w+", imported), *re.findall(r"tests\.bench\.(\w+)[ \"]", source)}


def reached() -> set[str]:
    """All modules that the quick runs come to."""
    seen: set[str] = {"quick"}
    ahead = {name for name, *_ in quick.RUNS}
    while ahead:
        seen |= ahead
        ahead = {other for module in ahead for other in mentioned(module)} - seen
    return seen


def test_every_module_is_part_of_some_quick_run() -> None:
    assert reached() == MODULES


def test_every_benchmark_is_run_by_itself() -> None:
    assert {name for name, *_ in quick.RUNS} == BENCHMARKS


def test_ci_runs_them() -> None:
    root = HERE.parents[1]
    assert "make bench-quick" in (root / ".ci/run").read_text().splitlines()
    assert re.search(
        r"^bench-quick:.*\n\t\$\(PY\) -m tests\.bench\.quick$", (root / "Makefile").read_text(), re.MULTILINE
    )


@pytest.mark.parametrize("status", [0, 1])
def test_a_benchmark_that_fails_fails_the_run(
    status: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        started.append(command)
        return subprocess.CompletedProcess(command, status if "tests.bench.video" in command else 0, "TypeError: badge")

    monkeypatch.setattr("tests.bench.quick.subprocess.run", run)
    with pytest.raises(SystemExit) as ended:
        quick.main()

    assert ended.value.code == status
    assert ("TypeError: badge" in capfd.readouterr().out) == bool(status)
    assert [sys.executable, "-m", "tests.bench.video", "--quick"] in started
    assert all("--quick" in command for command in started)
