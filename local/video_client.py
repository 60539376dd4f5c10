"""A short video as a client of the HTTP API makes it: asked for, followed, fetched, and laid out to be looked at."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from local.cloud import Cloud
from local.swap_clients import CallFailed, download

SCRIPT = (
    "Once upon a time, a video needed a studio. This one needed a single line of text. "
    "A voice reads it aloud. Stock clips are found, cut, and set to its rhythm. "
    "Every word lights up the moment it is spoken. "
    "Then everything goes back to sleep, and sleeping costs nothing."
)
QUERY = "nature at dusk"
PATIENCE = 300.0  # seconds
POLL = 0.1
FRAMES, COLUMNS = 12, 6  # of the contact sheet

Say = Callable[[str], None]


def make(cloud: Cloud, request: dict[str, Any], say: Say) -> dict[str, Any]:
    """The finished task as GET /task/{id} tells it; `say` hears of every step. Raises CallFailed."""
    answer = cloud.request("POST", "/generate-video", request)
    task = _checked(answer, 202)
    ends, told = time.monotonic() + PATIENCE, ""
    while task["status"] in ("queued", "running"):
        if time.monotonic() > ends:
            raise CallFailed("no_answer", f"The video was not made within {PATIENCE:.0f} s.")
        if (now := f"video: {task['stage']} ({task['progress']:.0%})") != told:
            say(told := now)
        time.sleep(POLL)
        task = _checked(cloud.request("GET", f"/task/{task['task_id']}"), 200)
    if task["status"] != "succeeded":
        problem = task.get("problem") or {}
        raise CallFailed(problem.get("code", task["status"]), problem.get("detail", "The video was not made."))
    return task


def fetch(cloud: Cloud, task: dict[str, Any], file: str, path: Path) -> Path:
    """One file of a finished video (video, poster, srt or vtt), the way its links tell."""
    link = _checked(cloud.request("GET", f"/download/{task['task_id']}?file={file}"), 200)
    path.write_bytes(download(link["url"]))
    return path


def contact_sheet(video: Path, seconds: float, sheet: Path) -> None:
    """Frames from the whole length of a video, in rows, as a JPEG."""
    import imageio_ffmpeg

    every = seconds / FRAMES
    choose = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{every * 0.999:.4f})'"
    tiles = f"{choose},scale=240:-2,tile={COLUMNS}x{FRAMES // COLUMNS}:padding=6:margin=6:color=white"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-ss", f"{every / 2:.3f}"]
    one = ["-frames:v", "1", "-q:v", "3", str(sheet)]
    subprocess.run([*ffmpeg, "-i", str(video), "-vf", tiles, *one], check=True, timeout=60)


def _checked(answer: Any, status: int) -> dict[str, Any]:
    try:
        said: dict[str, Any] = answer.json()
    except ValueError:
        raise CallFailed(f"status {answer.status_code}", answer.text[:500]) from None
    if answer.status_code != status:
        raise CallFailed(said.get("code", f"status {answer.status_code}"), said.get("detail", answer.text[:500]))
    return said
