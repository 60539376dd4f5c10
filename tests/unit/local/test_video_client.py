"""The demo's video client: progress, problems, and the contact sheet."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from PIL import Image

from layers.media.ffmpeg import program
from local import video_client
from local.cloud import Cloud
from local.swap_clients import CallFailed


class FakeResponse:
    def __init__(self, status: int, body: Any) -> None:
        self.status_code = status
        self.body = body
        self.text = str(body)

    def json(self) -> Any:
        if isinstance(self.body, str):
            raise ValueError(self.body)
        return self.body


class FakeApi:
    """Returns these responses, one after another."""

    def __init__(self, *answers: FakeResponse) -> None:
        self.answers = list(answers)

    def request(self, method: str, path: str, body: Any = None) -> FakeResponse:
        return self.answers.pop(0)


def task(status: str, stage: str = "clips", **more: Any) -> dict[str, Any]:
    return {"task_id": "t", "status": status, "stage": stage, "progress": 0.5, **more}


def make(*responses: FakeResponse) -> tuple[dict[str, Any], list[str]]:
    lines: list[str] = []
    return video_client.make_video(cast(Cloud, FakeApi(*responses)), {}, lines.append), lines


def test_every_step_is_told_once() -> None:
    states = [task("running", "footage"), task("running", "footage"), task("running"), task("succeeded", "done")]
    task_result, lines = make(
        FakeResponse(202, task("queued", "queued")), *(FakeResponse(200, state) for state in states)
    )
    assert task_result["status"] == "succeeded"
    assert lines == ["video: queued (50%)", "video: footage (50%)", "video: clips (50%)"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([FakeResponse(503, {"code": "at_capacity", "detail": "Later."})], "at_capacity"),
        ([FakeResponse(502, "<html>")], "status 502"),
        ([FakeResponse(202, task("failed", problem={"code": "no_footage", "detail": "None."}))], "no_footage"),
        ([FakeResponse(202, task("cancelled"))], "cancelled"),
    ],
)
def test_what_goes_wrong_is_told_with_its_code(answers: list[FakeResponse], code: str) -> None:
    with pytest.raises(CallFailed) as caught:
        make(*answers)
    assert caught.value.code == code


def test_the_sheet_shows_the_whole_length(tmp_path: Path) -> None:
    video, sheet = tmp_path / "v.mp4", tmp_path / "v.jpg"
    # It brightens from black to white.
    ramp = "nullsrc=size=72x128:rate=30:duration=6,format=gray,geq=lum='255*T/6'"
    subprocess.run([program(), "-v", "error", "-f", "lavfi", "-i", ramp, "-pix_fmt", "yuv420p", video], check=True)
    video_client.write_contact_sheet(video, 6.0, sheet)
    picture = np.asarray(Image.open(sheet).convert("L"), dtype=float)
    height, width = picture.shape
    rows = video_client.FRAMES // video_client.COLUMNS
    centres = [
        picture[(2 * row + 1) * height // (2 * rows), (2 * column + 1) * width // (2 * video_client.COLUMNS)]
        for row in range(rows)
        for column in range(video_client.COLUMNS)
    ]
    expected = [255 * (number + 0.5) / video_client.FRAMES for number in range(video_client.FRAMES)]
    assert np.abs(np.array(centres) - expected).max() < 14
