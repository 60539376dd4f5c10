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


LAYERS = """
import resource
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
from layers.engine.session import session, small_session

kernel = np.random.default_rng(0).standard_normal((16, 16, 3, 3)).astype(np.float32) / 12
names = [f"x{each}" for each in range(9)]
nodes = [helper.make_node("Conv", [x, "kernel"], [y], pads=[1] * 4) for x, y in zip(names, names[1:])]
inputs, outputs = [
    [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 16, "h", "w"])] for name in (names[0], names[-1])
]
graph = helper.make_graph(nodes, "layers", inputs, outputs, [numpy_helper.from_array(kernel, "kernel")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8).SerializeToString()
picture = np.random.default_rng(1).standard_normal((1, 16, 256, 256)).astype(np.float32)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

def run(session, picture):
    faults, before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt, resident()
    (output,) = session.run(["x8"], {session.get_inputs()[0].name: picture})
    return output, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - faults, resident() - before - output.nbytes

sessions = session(model, 1), small_session(model, 1)
for each in sessions:
    run(each, picture[:, :, :32, :32])
(expected, often, _), (output, seldom, kept) = (run(each, picture) for each in sessions)
np.testing.assert_allclose(output, expected, atol=1e-4)
print(often, seldom, kept)
"""


def test_a_small_session_asks_the_system_for_memory_once_a_run_and_keeps_none_of_it() -> None:
    process = subprocess.run([sys.executable, "-c", LAYERS], capture_output=True, text=True, check=True, cwd=ROOT)
    often, seldom, kept = map(int, process.stdout.split())
    assert seldom < 0.6 * often  # pages; the results of the eight layers have 1,024 each
    assert kept < 2_000_000
