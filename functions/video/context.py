"""What the code that makes a video works with, handed on whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from functions.video.artifacts import ArtifactStore
from functions.video.services import Services
from functions.video.settings import VideoSettings
from functions.video.tasks.store import Task
from layers.core.deadline import Deadline

T = TypeVar("T")


@dataclass(frozen=True)
class CallerContext:
    """Work on behalf of one caller: the services, the caller's own artifacts, and when the work must be done."""

    services: Services
    artifacts: ArtifactStore
    deadline: Deadline

    @property
    def settings(self) -> VideoSettings:
        """The function's settings."""
        return self.services.settings


@dataclass(frozen=True)
class StepContext(CallerContext):
    """A step of the workflow: also its task as it was when the step began, and a folder that is removed afterwards."""

    task: Task
    folder: Path

    def read(self, key: str, kind: type[T]) -> T:
        """The value that an earlier step stored. Raises WorkGone or StorageFailed."""
        return self.artifacts.get(key, kind, self.deadline)

    def mark_done(self, step: str, clips: int | None = None) -> None:
        """Record that the step is done, and the artifacts that it used. Raises Cancelled if the task is over."""
        self.services.tasks.step_done(self.task.id, step, self.artifacts.used, clips)
