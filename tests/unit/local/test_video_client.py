"""The demo's video as a client follows it, and its frames on one sheet."""

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


class Answer:
    def __init__(self, status: int, said: Any) -> None:
        self.status_code = status
        self.said = said
        self.text = str(said)

    def json(self) -> Any:
        if isinstance(self.said, str):
            raise ValueError(self.said)
        return self.said


class Api:
    """Gives these answers, one after another."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)

    def request(self, method: str, path: str, body: Any = None) -> Answer:
        return self.answers.pop(0)


def task(status: str, stage: str = "clips", **more: Any) -> dict[str, Any]:
    return {"task_id": "t", "status": status, "stage": stage, "progress": 0.5, **more}


def make(*answers: Answer) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    return video_client.make(cast(Cloud, Api(*answers)), {}, said.append), said


def test_every_step_is_told_once() -> None:
    states = [task("running", "footage"), task("running", "footage"), task("running"), task("succeeded", "done")]
    made, said = make(Answer(202, task("queued", "queued")), *(Answer(200, state) for state in states))
    assert made["status"] == "succeeded"
    assert said == ["video: queued (50%)", "video: footage (50%)", "video: clips (50%)"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ([Answer(503, {"code": "at_capacity", "detail": "Later."})], "at_capacity"),
        ([Answer(502, "<html>")], "status 502"),
        ([Answer(202, task("failed", problem={"code": "no_footage", "detail": "None."}))], "no_footage"),
        ([Answer(202, task("cancelled"))], "cancelled"),
    ],
)
def test_what_goes_wrong_is_told_with_its_code(answers: list[Answer], code: str) -> None:
    with pytest.raises(CallFailed) as caught:
        make(*answers)
    assert caught.value.code == code


def test_the_sheet_shows_the_whole_length(tmp_path: Path) -> None:
    video, sheet = tmp_path / "v.mp4", tmp_path / "v.jpg"
    # It brightens from black to white.
    ramp = "nullsrc=size=72x128:rate=30:duration=6,format=gray,geq=lum='255*T/6'"
    subprocess.run([program(), "-v", "error", "-f", "lavfi", "-i", ramp, "-pix_fmt", "yuv420p", video], check=True)
    video_client.contact_sheet(video, 6.0, sheet)
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
