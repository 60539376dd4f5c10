"""The command at true size, with random weights: installed from files, and swapping without a variable of AWS's set."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.bench import MODELS, PICTURE, UPLOADS
from tests.bench.bench import FOLDER, prepare
from tests.bench.command import environment, run

pytestmark = pytest.mark.full


def test_files_of_true_size_are_installed_and_swap(tmp_path: Path) -> None:
    prepare(FOLDER)
    objects = (FOLDER / "objects").resolve()
    picture, files = str(objects / UPLOADS / PICTURE), str(objects / MODELS / "naive")
    assert not [name for name in environment(tmp_path) if name.startswith("AWS")]

    get = ["-m", "coldswap", "models", "get", "--from", files, "--licence", "none", "--json"]
    shown = json.loads(run(get, tmp_path)[1])
    cost, output = run(["-m", "coldswap", "swap", picture, picture, "-o", "out.jpg", "--json"], tmp_path)

    facts = json.loads(output)
    assert shown["pack"] == facts["models"]["pack"] == "own"
    assert sum(blob.stat().st_size for blob in Path(shown["folder"], "blobs/sha256").iterdir()) > 360e6
    assert [face["swapped"] for face in facts["faces"]] == [True]
    assert os.path.getsize(tmp_path / "out.jpg") == facts["bytes"]
    assert cost["peak_mb"] < 1000
