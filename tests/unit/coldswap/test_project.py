"""What pyproject.toml and setup.py say, beside what the code says."""

from __future__ import annotations

import ast
import re
import tomllib
from functools import cache
from pathlib import Path

from coldswap.version import VERSION
from tests.unit.coldswap.conftest import ROOT
from tests.unit.core.test_imports import modules_under, reachable, source_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def test_the_version_is_the_newest_of_the_change_log() -> None:
    newest = re.search(r"^## ([0-9.]+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert newest is not None
    assert newest[1] == VERSION


def test_dependencies_are_no_older_than_those_of_the_image() -> None:
    pins = {line.partition("#")[0].strip() for line in _requirements()}

    assert [each for each in PROJECT["dependencies"] if each.replace(">=", "==") not in pins] == []


def test_whatever_the_library_imports_is_shipped() -> None:
    tree = ast.parse((ROOT / "setup.py").read_text())
    assignments = {ast.unparse(each.targets[0]): each.value for each in tree.body if isinstance(each, ast.Assign)}
    shipped, left_out, kept = (ast.literal_eval(assignments[name]) for name in ("SHIPPED", "LEFT_OUT", "KEPT"))

    imported = {source_of(name) for name in reachable(modules_under("coldswap"))}

    for path in (each.relative_to(ROOT) for each in imported if each is not None):
        is_left_out = any(path.is_relative_to(each) for each in left_out) and path.as_posix() not in kept
        is_shipped = path.parts[0] == "coldswap" or any(path in _glob(pattern) for pattern in shipped)
        assert is_shipped, path
        assert not is_left_out, path


def test_nothing_that_a_function_or_a_tool_runs_imports_the_library() -> None:
    imported = reachable(modules_under("functions") | modules_under("layers") | modules_under("tools"))

    assert [name for name in imported if name.startswith("coldswap")] == []


@cache
def _glob(pattern: str) -> set[Path]:
    return {path.relative_to(ROOT) for path in ROOT.glob(pattern)}


def _requirements() -> list[str]:
    return (ROOT / "functions/swap/requirements.in").read_text().splitlines()
