"""A task as its owner sees it: over HTTP and in a callback."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from functions.video.tasks.store import Task


def render_task(task: Task, now: float, result_seconds: int) -> dict[str, Any]:
    """The task as JSON; links are paths of the API, and those to files go when the video does."""
    links = {"self": f"/task/{task.id}"}
    answer: dict[str, Any] = {
        "task_id": task.id,
        "status": task.status,
        "stage": task.stage,
        "progress": task.progress,
        "links": links,
        "created_at": moment(task.created_at),
        "updated_at": moment(task.updated_at),
    }
    if task.published and not expired(task, now, result_seconds):
        files = {"poster": task.published.poster, "srt": task.published.srt, "vtt": task.published.vtt}
        links["download"] = f"/download/{task.id}"
        links |= {name: f"/download/{task.id}?file={name}" for name, key in files.items() if key}
        answer |= {
            "seconds": round(task.published.seconds, 3),
            "bytes": task.published.size,
            "credits": [asdict(each) for each in task.published.credits],
            "expires_at": moment((task.finished_at or 0) + result_seconds),
        }
    if task.problem:
        answer["problem"] = dict(task.problem)
    if task.callback:
        answer["callback"] = task.callback
    return answer


def expired(task: Task, now: float, result_seconds: int) -> bool:
    """Whether a finished video is gone: deleted on request, or too old."""
    return task.published is None or task.forgotten is not None or now >= (task.finished_at or 0) + result_seconds


def moment(seconds: int) -> str:
    """A second of the epoch as RFC 3339 has it, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
