"""`python -m tests.elsewhere.run [MODULE ARGUMENT...]`: runs local.demo, or MODULE, without what Linux alone has.

In every process: the module's, the emulator's, the functions'. Each Python is a virtual environment of its own over
the packages of the real one; a .pth file in it imports linux_hidden.py before anything else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from local.cloud import EMULATOR_PYTHON, ROOT

LAUNCH = """
import pathlib, runpy, sys
import local.cloud
local.cloud.EMULATOR_PYTHON = pathlib.Path(sys.argv.pop(1))
sys.argv = sys.argv[1:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
CHECK = """
import importlib.util, os
assert not hasattr(os, "sched_getaffinity") and not hasattr(os, "waitid")
assert importlib.util.find_spec("awslambdaric") is None and importlib.util.find_spec("runtime_client") is None
try:
    open("/proc/self/status")
except FileNotFoundError:
    pass
else:
    raise AssertionError("/proc is there")
"""


def make_environment(folder: Path, packages: Path) -> Path:
    """Make a virtual environment of this Python's version over these packages; its Python."""
    venv.create(folder, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    (site / "elsewhere.pth").write_text(f"{packages}\n{Path(__file__).parent}\nimport linux_hidden\n")
    return folder / "bin/python"


def main(command: list[str]) -> int:
    """Run the command's module; its exit status."""
    with tempfile.TemporaryDirectory(prefix="coldswap-elsewhere-") as folder:
        own = make_environment(Path(folder, "own"), _packages(Path(sys.executable)))
        emulator = make_environment(Path(folder, "emulator"), _packages(EMULATOR_PYTHON))
        for python in (own, emulator):
            subprocess.run([python, "-c", CHECK], check=True)
        return subprocess.run([own, "-c", LAUNCH, str(emulator), *command], cwd=ROOT).returncode


def _packages(python: Path) -> Path:
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    return site


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or ["local.demo"]))
