"""Memory that is free goes back to the system, and onnxruntime tells nobody anything."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
IMPORT = re.compile(r"^\s*(?:import|from) onnxruntime\b", re.MULTILINE)
SUPPRESSORS = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS")  # variables that keep telemetry off
SCRIPT = """
import numpy as np
from layers.engine.session import lean_malloc, trim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

lean_malloc()
before = resident()
blocks = [np.ones(300_000, np.uint8) for _ in range(400)]  # below the threshold, so on the heap
held = resident()
kept = blocks[-1]
del blocks
trim()
print(held - before, resident() - before)
"""


ROOMY_SCRIPT = SCRIPT.replace("lean_malloc,", "lean_malloc, roomy_malloc,").replace(
    """del blocks
trim()
""",
    """with roomy_malloc():
    large = np.ones(20_000_000, np.uint8)  # like the frames of a video
    del large
    held = resident()
    del blocks
""",
)


def test_freed_blocks_are_given_back() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    during, after = map(int, process.stdout.split())
    assert during > 100_000_000
    assert after < 10_000_000


def test_what_frames_needed_is_kept_until_the_last_one() -> None:
    process = subprocess.run([sys.executable, "-c", ROOMY_SCRIPT], capture_output=True, text=True, check=True)
    during, after = map(int, process.stdout.split())
    assert during > 130_000_000  # with the large block that is free
    assert after < 10_000_000


@pytest.mark.parametrize("function", ["session", "stage_session"])
def test_onnxruntime_leaves_no_identifier_in_the_home(function: str, tmp_path: Path) -> None:
    script = f"from layers.engine.session import {function}\ntry: {function}(b'', 1)\nexcept Exception: pass"
    environment = {name: value for name, value in os.environ.items() if name not in SUPPRESSORS}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / ".cache")}

    subprocess.run([sys.executable, "-c", script], env=environment, cwd=ROOT, check=True)

    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize("folder", ["coldswap", "functions", "layers", "tools"])
def test_only_one_function_imports_onnxruntime(folder: str) -> None:
    importing = [path for path in (ROOT / folder).rglob("*.py") if IMPORT.search(path.read_text())]
    assert importing in ([], [ROOT / "layers/engine/session.py"])
