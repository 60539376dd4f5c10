"""Links to the files of a finished video."""

from __future__ import annotations

from typing import Literal

from functions.video.entry.task_view import has_expired
from functions.video.services import Services
from functions.video.tasks.store import Task
from layers.core.errors import Expired, NotFound, NotReady

File = Literal["video", "poster", "srt", "vtt"]

LINK_SECONDS = 900  # how long a link works


def link_to_file(task: Task, file: File, services: Services, now: float) -> str:
    """A presigned URL of one of the task's files; `now` is in seconds of the epoch.

    Raises NotReady, with the problem of a failed task, Expired, NotFound or StorageFailed.
    """
    settings, storage = services.settings, services.storage
    if task.status != "succeeded":
        extra = {"problem": dict(task.problem)} if task.problem else {}
        raise NotReady(f"There is no video to download: the task is {task.status}.", **extra)
    if task.published is None or has_expired(task, now, settings.result_seconds):
        raise Expired("The video has expired or was deleted. Request it again.")
    key: str | None = getattr(task.published, file)
    if key is None:
        raise NotFound(f"This video has no {file}.")
    if storage.head(settings.outputs_bucket, key) is None:
        raise Expired("The video has expired or was deleted. Request it again.")
    filename = f"{task.id}.{key.rpartition('.')[2]}"
    return storage.presign_get(settings.outputs_bucket, key, LINK_SECONDS, filename)
