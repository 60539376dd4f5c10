"""A task as its caller sees it: over HTTP and in a callback."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from functions.video.tasks.store import Task


def render_task(task: Task, now: float, result_seconds: int) -> dict[str, Any]:
    """The task as JSON; links are paths of the API, and those to files are there as long as the video."""
    links = {"self": f"/task/{task.id}"}
    view: dict[str, Any] = {
        "task_id": task.id,
        "status": task.status,
        "stage": task.stage,
        "progress": task.progress,
        "links": links,
        "created_at": rfc3339(task.created_at),
        "updated_at": rfc3339(task.updated_at),
    }
    if task.published and not has_expired(task, now, result_seconds):
        files = {"poster": task.published.poster, "srt": task.published.srt, "vtt": task.published.vtt}
        links["download"] = f"/download/{task.id}"
        links |= {name: f"/download/{task.id}?file={name}" for name, key in files.items() if key}
        view |= {
            "seconds": round(task.published.seconds, 3),
            "bytes": task.published.size,
            "credits": [asdict(each) for each in task.published.credits],
            "shots": [asdict(each) for each in task.published.shots],
            "searches": [asdict(each) for each in task.published.searches],
            **({"captions_timing": timing} if (timing := task.published.captions_timing) else {}),
            "voice_service": task.published.voice_service,
            "captions_left_out": list(task.published.captions_left_out),
            "expires_at": rfc3339((task.finished_at or 0) + result_seconds),
        }
    if task.problem:
        view["problem"] = dict(task.problem)
    if task.callback:
        view["callback"] = task.callback
    return view


def has_expired(task: Task, now: float, result_seconds: int) -> bool:
    """Whether a finished video is gone: deleted on request, or too old; `now` is in seconds of the epoch."""
    return task.published is None or task.deleted_digest is not None or now >= (task.finished_at or 0) + result_seconds


def rfc3339(seconds: int) -> str:
    """A second of the epoch as an RFC 3339 time in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
