"""CI runs every benchmark: each module here is reached by some run of quick.py."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import quick

HERE = Path(quick.__file__).parent
MODULES = {path.stem for path in HERE.glob("*.py") if not path.stem.startswith(("__", "test_"))}
BENCHMARKS = {name for name in MODULES if "form.parse_options(" in (HERE / f"{name}.py").read_text()}


def find_mentions(module: str) -> set[str]:
    """The modules here that a module imports, or starts as a process."""
    source = (HERE / f"{module}.py").read_text()
    imported = " ".join(re.findall(r"^ *from tests\.bench import (.*?)(?:  #.*)?$", source, re.MULTILINE))
    return MODULES & {*re.findall(r"\w+", imported), *re.findall(r"tests\.bench\.(\w+)[ \"]", source)}


def find_reachable() -> set[str]:
    """All modules that the quick runs reach."""
    reachable: set[str] = {"quick"}
    ahead = {name for name, *_ in quick.RUNS}
    while ahead:
        reachable |= ahead
        ahead = {other for module in ahead for other in find_mentions(module)} - reachable
    return reachable


def test_every_module_is_part_of_some_quick_run() -> None:
    assert find_reachable() == MODULES


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
    commands: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        return subprocess.CompletedProcess(command, status if "tests.bench.video" in command else 0, "TypeError: badge")

    monkeypatch.setattr("tests.bench.quick.subprocess.run", run)
    with pytest.raises(SystemExit) as exit_info:
        quick.main()

    assert exit_info.value.code == status
    assert ("TypeError: badge" in capfd.readouterr().out) == bool(status)
    assert [sys.executable, "-m", "tests.bench.video", "--quick"] in commands
    assert all("--quick" in command for command in commands)
