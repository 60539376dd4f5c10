"""Commands that people know by their former names still work."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MOVED = {
    "refused": "denylist",
    "verify": "verify",
    "redrive": "redrive",
    "signing": "signing_key",
    "deploy": "deploy",
}


@pytest.mark.parametrize(("former", "present"), MOVED.items())
def test_a_command_runs_by_its_former_name_and_says_the_present_one(former: str, present: str) -> None:
    helps = [
        subprocess.run([sys.executable, "-m", module, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60)
        for module in (f"local.{former}", f"tools.{present}")
    ]

    assert [each.returncode for each in helps] == [0, 0]
    assert helps[0].stdout == helps[1].stdout != ""
    assert helps[0].stderr == f"This command has moved: python -m tools.{present}\n"


def test_every_module_that_only_points_elsewhere_is_tested() -> None:
    pointing = {
        path.stem: match[1]
        for path in (ROOT / "local").glob("*.py")
        if (match := re.search(r'^run\("tools\.(\w+)", __name__\)$', path.read_text(), re.MULTILINE))
    }

    assert pointing == MOVED
