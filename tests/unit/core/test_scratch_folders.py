"""Folders for work files, and what a sandbox that was reset leaves of them."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from layers.core.scratch_folders import scratch_folder, sweep

SETTINGS = {
    "AWS_DEFAULT_REGION": "eu-west-1",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "MODELS_BUCKET": "m",
    "UPLOADS_BUCKET": "u",
    "OUTPUTS_BUCKET": "o",
    "STATE_TABLE": "t",
    "STATE_MACHINE_ARN": "arn",
}
DIES = """
import os
from layers.core.scratch_folders import scratch_folder

with scratch_folder("PREFIX") as path:
    (path / "file").touch()
    print(path, flush=True)
    os._exit(1)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The temporary directory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def run(code: str, folder: Path) -> str:
    """What a process says that starts as a sandbox does, with that temporary directory."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env={**environment, **SETTINGS, "TMPDIR": str(folder)}, capture_output=True, text=True
    ).stdout.strip()


def test_a_folder_is_gone_after_the_work_also_when_it_fails(folder: Path) -> None:
    def work() -> None:
        with scratch_folder("video-") as path:
            (path / "clip.mp4").touch()
            raise KeyError

    with pytest.raises(KeyError):
        work()

    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("function", "prefix"), [("swap", "verify-"), ("video", "video-")])
def test_what_a_reset_sandbox_left_is_gone_at_its_next_start(folder: Path, function: str, prefix: str) -> None:
    leftover = Path(run(DIES.replace("PREFIX", prefix), folder))
    assert (leftover / "file").exists(), "a process that is killed removes nothing"

    with scratch_folder(prefix) as live:
        run(f"import functions.{function}.app", folder)
        assert not leftover.exists()
        assert live.exists(), "somebody works in it"


def test_only_folders_of_that_name_are_swept(folder: Path) -> None:
    (folder / "other-1").mkdir()
    (folder / "video-2").write_bytes(b"a file")

    sweep("video-")

    assert {each.name for each in folder.iterdir()} == {"other-1", "video-2"}
