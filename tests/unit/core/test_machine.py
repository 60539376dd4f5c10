"""Processors and memory on systems that tell less than Linux does."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from layers.core import machine
from local.cloud import ROOT

ELSEWHERE = ROOT / "tests/elsewhere"


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without sched_getaffinity."""
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 6)


@pytest.mark.usefixtures("elsewhere")
def test_without_an_affinity_every_processor_counts() -> None:
    assert machine.visible_processors() == 6


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("freebsd14", 1024), ("darwin", 1)])
def test_the_memory_of_children_has_the_unit_of_the_system(
    monkeypatch: pytest.MonkeyPatch, platform: str, unit: int
) -> None:
    usage = resource.struct_rusage((0.0, 0.0, 50_000_000 // unit, *[0] * 13))
    monkeypatch.setattr(resource, "getrusage", lambda who: usage)
    monkeypatch.setattr(sys, "platform", platform)

    assert machine.children_peak_memory_mb() == pytest.approx(50, abs=0.1)


def test_without_proc_the_peak_grows_with_what_is_held() -> None:
    code = (
        "import linux_hidden; from layers.core.machine import peak_memory_mb as peak, visible_processors; "
        "before = peak(); held = b'x' * 400_000_000; print(before, peak(), visible_processors())"
    )
    path = {"PYTHONPATH": f"{ROOT}:{ELSEWHERE}"}
    process = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    before, during, processors = map(float, process.stdout.split())

    # Here the number begins with what the parent had held when it forked, so the two only bound it.
    assert 400 < during < before + 470
    assert processors >= 1


def test_ffmpeg_runs_and_fails_in_time_without_waitid_and_prctl(tmp_path: Path) -> None:
    code = (
        "import linux_hidden, sys; from layers.core.deadline import Deadline; from layers.media.ffmpeg import run\n"
        "from layers.core.errors import OutOfTime\n"
        "source = ['-f', 'lavfi', '-i', 'color=size=64x64:rate=25']\n"
        "run([*source, '-frames:v', '2', sys.argv[1] + '/a.mp4'], deadline=Deadline.after(60))\n"
        "try:\n    run([*source, sys.argv[1] + '/b.mp4'], deadline=Deadline.after(0.5))\n"
        "except OutOfTime: print('out of time')\n"
    )
    path = {"PYTHONPATH": f"{ROOT}:{ELSEWHERE}"}
    command = [sys.executable, "-c", code, str(tmp_path)]
    process = subprocess.run(command, env=path, capture_output=True, text=True, timeout=60)

    assert process.stdout == "out of time\n", process.stderr
    assert (tmp_path / "a.mp4").stat().st_size
