"""What pyproject.toml and setup.py say, beside what the code says."""

from __future__ import annotations

import re
import tomllib

from coldswap.version import VERSION
from tests.unit.coldswap.conftest import ROOT
from tests.unit.core.test_imports import modules_under, reachable

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_newest_of_the_change_log() -> None:
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert newest[1] == VERSION


def test_dependencies_are_no_older_than_those_of_the_image() -> None:
    pins = {line.partition("#")[0].strip() for line in _requirements()}

    assert [each for each in PROJECT["dependencies"] if each.replace(">=", "==") not in pins] == []


def test_nothing_that_a_function_or_a_tool_runs_imports_the_library() -> None:
    imported = reachable(modules_under("functions") | modules_under("layers") | modules_under("tools"))

    assert [name for name in imported if name.startswith("coldswap")] == []


def _requirements() -> list[str]:
    return (ROOT / "functions/swap/requirements.in").read_text().splitlines()
