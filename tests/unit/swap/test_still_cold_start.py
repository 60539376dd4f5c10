"""What a still swap costs beside moving memes, which its image has room for too: nothing of them is imported or opened.

Lambda reads of an image what is used, so what nobody opens costs a cold start nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
STARTS = ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.fork", "os.system")


@pytest.fixture(scope="module")
def still() -> dict[str, Any]:
    """What a fresh process had imported, opened and started once it had listed and swapped the faces of a picture."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.unit.swap.test_still_cold_start"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    report: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    return report


def test_a_still_swap_imports_of_moving_memes_only_how_they_are_recognised(still: dict[str, Any]) -> None:
    assert "functions.swap.pipeline" in still["modules"], "it was a swap"
    assert [name for name in still["modules"] if name.startswith(("imageio", "layers.media.ffmpeg"))] == []
    assert [name for name in still["modules"] if name.startswith("layers.media.moving.")] == [
        "layers.media.moving.kinds"
    ]


def test_a_still_swap_opens_no_file_of_ffmpeg_and_starts_no_process(still: dict[str, Any]) -> None:
    assert any(path.endswith("kinds.py") or "kinds." in path for path in still["opened"]), "what is opened is noticed"
    assert [path for path in still["opened"] if "ffmpeg" in path or "imageio" in path] == []
    assert still["started"] == []


def _swap_a_still() -> None:
    opened: list[str] = []
    started: list[str] = []

    def listen(name: str, arguments: tuple[Any, ...]) -> None:
        if name == "open":
            opened.append(str(arguments[0]))
        elif name in STARTS:
            started.append(f"{name} {arguments[0]!s}")

    sys.addaudithook(listen)
    from functions.swap.values import SwapRequest
    from layers.core.deadline import Deadline
    from tests.unit.swap.fake_stack import UPLOADS, FakeSwapStack

    services, meme = FakeSwapStack().services, f"s3://{UPLOADS}/requests/1/meme"
    services.list_faces(meme, None, Deadline.after(60))
    services.swap(SwapRequest(meme), key="swaps/1", deadline=Deadline.after(60))
    print(json.dumps({"modules": sorted(sys.modules), "opened": opened, "started": started}))


if __name__ == "__main__":
    _swap_a_still()
