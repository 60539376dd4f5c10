"""A client of the video API: requests a video, follows its task, downloads it, and draws its contact sheet."""

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
NAMES = {
    "script_text": (
        "One world, many words. The rain on a window in Delhi is बारिश. The sea at sunset, in Chennai, is கடல். "
        "A misty mountain at dawn is पहाड़. And at night, the city speaks them all at once."
    ),
    "captions": {"look": "boxed", "accent": "#E4572E"},
}
"""A short with words of three scripts, and no query: what each sentence is about is found by its own words."""
TIMEOUT_SECONDS = 300.0
POLL_SECONDS = 0.1
FRAMES, COLUMNS = 12, 6  # of the contact sheet

Say = Callable[[str], None]


def make_video(cloud: Cloud, request: dict[str, Any], say: Say, name: str = "video") -> dict[str, Any]:
    """Make a video; the finished task as GET /task/{id} returns it. Each step is passed to `say`, after the name.
    Raises CallFailed."""
    response = cloud.request("POST", "/generate-video", request)
    task = _check_status(response, 202)
    deadline, last = time.monotonic() + TIMEOUT_SECONDS, ""
    while task["status"] in ("queued", "running"):
        if time.monotonic() > deadline:
            raise CallFailed("no_answer", f"The video was not finished within {TIMEOUT_SECONDS:.0f} seconds.")
        if (line := f"{name}: {task['stage']} ({task['progress']:.0%})") != last:
            say(last := line)
        time.sleep(POLL_SECONDS)
        task = _check_status(cloud.request("GET", f"/task/{task['task_id']}"), 200)
    if task["status"] != "succeeded":
        problem = task.get("problem") or {}
        raise CallFailed(problem.get("code", task["status"]), problem.get("detail", "The video could not be made."))
    return task


def download_file(cloud: Cloud, task: dict[str, Any], file: str, path: Path) -> Path:
    """Download a file of a finished video (video, poster, srt or vtt) to `path`."""
    link = _check_status(cloud.request("GET", f"/download/{task['task_id']}?file={file}"), 200)
    path.write_bytes(download(link["url"]))
    return path


def write_contact_sheet(video: Path, seconds: float, sheet: Path) -> None:
    """Write frames from the whole length of a video, in rows, as a JPEG."""
    import imageio_ffmpeg

    interval = seconds / FRAMES
    choose = f"select='isnan(prev_selected_t)+gte(t-prev_selected_t,{interval * 0.999:.4f})'"
    filters = f"{choose},scale=240:-2,tile={COLUMNS}x{FRAMES // COLUMNS}:padding=6:margin=6:color=white"
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-y", "-ss", f"{interval / 2:.3f}"]
    output = ["-frames:v", "1", "-q:v", "3", str(sheet)]
    subprocess.run([*ffmpeg, "-i", str(video), "-vf", filters, *output], check=True, timeout=60)


def _check_status(response: Any, status: int) -> dict[str, Any]:
    try:
        body: dict[str, Any] = response.json()
    except ValueError:
        raise CallFailed(f"status {response.status_code}", response.text[:500]) from None
    if response.status_code != status:
        raise CallFailed(body.get("code", f"status {response.status_code}"), body.get("detail", response.text[:500]))
    return body
