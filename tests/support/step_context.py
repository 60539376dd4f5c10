"""What a step of the video workflow works with, where only files, settings and payments matter: no table is asked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.providers.payments import Payments
from functions.video.services import Services
from functions.video.settings import VideoSettings
from functions.video.tasks.executions import Executions
from functions.video.tasks.slots import Slots
from functions.video.tasks.store import Task, TaskStore
from functions.video.values import VideoRequest
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.fair_share import Quota
from layers.core.pseudonyms import Pseudonyms
from layers.core.storage import Storage
from layers.core.terms import Terms


def step_context(
    storage: Storage,
    artifacts: ArtifactStore,
    folder: Path,
    *,
    settings: VideoSettings,
    request: VideoRequest,
    deadline: Deadline,
    payments: Payments | None = None,
) -> StepContext:
    """The context of a step for this request."""
    services = Services(
        settings=settings,
        storage=storage,
        artifacts=artifacts,
        tasks=TaskStore("", _no_client),
        slots=Slots("", 0, _no_client),
        executions=Executions("", _no_client),
        budget=Budget("", "", lambda: 0, _no_client),
        payments=payments or Payments("", _no_client),
        terms=Terms("", _no_client),
        pseudonyms=Pseudonyms("", _no_client),
        quota=lambda service, whole, seconds: Quota("", service, whole, seconds, _no_client),
    )
    task = Task("t", request, "", created_at=0, updated_at=0, expiration=0)
    return StepContext(services, artifacts, deadline, task=task, folder=folder)


def _no_client() -> Any:
    raise AssertionError("there is no table here")
