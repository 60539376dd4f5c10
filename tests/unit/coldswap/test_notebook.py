"""examples/notebook.ipynb: its cells run from top to bottom, in a process and a folder of their own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.unit.coldswap.conftest import FACE, MEME, ROOT

NOTEBOOK = ROOT / "examples/notebook.ipynb"
# As a kernel does: all cells in one namespace, and what the last line of a cell evaluates to is shown.
KERNEL = """
import ast, json, sys

names = {}
for source in json.load(sys.stdin):
    cell = ast.parse(source)
    last = cell.body.pop() if isinstance(cell.body[-1], ast.Expr) else None
    exec(compile(cell, "cell", "exec"), names)
    value = eval(compile(ast.Expression(last.value), "cell", "eval"), names) if last else None
    if value is not None:
        print("shown:", *value._repr_mimebundle_())
"""


def read_cells(kind: str) -> list[str]:
    """The sources of the notebook's cells of that kind, in their order."""
    notebook: dict[str, Any] = json.loads(NOTEBOOK.read_text())
    assert notebook["nbformat"] == 4
    return ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == kind]


def test_the_notebook_runs_and_shows_the_pictures(tmp_path: Path) -> None:
    for picture in (FACE, MEME):
        shutil.copy(picture, tmp_path)
    process = subprocess.run(
        [sys.executable, "-c", KERNEL],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(read_cells("code")),
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert [line for line in lines if line.startswith("shown: ")] == ["shown: image/jpeg"] * 2
    assert {"0 can be swapped", "face 0 swapped", "(720, 720, 3) uint8"} <= set(lines)
    assert (tmp_path / "swapped.jpg").read_bytes().startswith(b"\xff\xd8\xff")


def test_no_output_is_committed() -> None:
    assert '"outputs": []' in NOTEBOOK.read_text()
    assert NOTEBOOK.read_text().count('"execution_count": null') == len(read_cells("code"))
