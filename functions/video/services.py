"""Everything outside this process that the function works with, created once per sandbox."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.video import cost
from functions.video.providers.payments import Payments
from functions.video.settings import VideoSettings, load_settings
from functions.video.tasks.executions import Executions
from functions.video.tasks.slots import Slots
from functions.video.tasks.store import TaskStore
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.fair_share import Quota
from layers.core.pseudonyms import Pseudonyms
from layers.core.terms import Terms

SCRATCH = "video-"  # begins the names of temporary folders
MARGIN_SECONDS = 3.0  # to remove temporary files, and to report an error

if TYPE_CHECKING:
    from functions.video.artifacts import ArtifactStore
    from layers.core.storage import Storage


@dataclass(frozen=True)
class Services:
    """Settings, and everything outside this process that making a video touches."""

    settings: VideoSettings
    storage: Storage
    artifacts: ArtifactStore
    tasks: TaskStore
    slots: Slots
    executions: Executions
    budget: Budget
    payments: Payments
    terms: Terms
    pseudonyms: Pseudonyms
    quota: Callable[[str, int, int], Quota]  # of a service, by its name, amount, and seconds


def deadline(context: Any) -> Deadline:
    """The moment when this invocation must be done, with time left to report if it is not."""
    return Deadline.after(max(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, 0.0))


@cache
def load_services() -> Services:
    """The services of this sandbox."""
    from functions.video.artifacts import ArtifactStore
    from layers.core.storage import Storage

    settings = load_settings()
    storage = Storage()
    return Services(
        settings=settings,
        storage=storage,
        artifacts=ArtifactStore(storage, settings.outputs_bucket),
        tasks=TaskStore(settings.state_table, _dynamodb),
        slots=Slots(settings.state_table, settings.max_concurrent_tasks, _dynamodb),
        executions=Executions(settings.state_machine_arn, _step_functions),
        budget=Budget(settings.state_table, cost.UNIT, lambda: settings.daily_budget, _dynamodb),
        payments=Payments(settings.state_table, _dynamodb),
        terms=Terms("" if settings.auth_mode == "open" else settings.state_table, _dynamodb),  # nobody to ask
        pseudonyms=Pseudonyms(settings.state_table, _dynamodb),
        quota=lambda service, whole, seconds: Quota(settings.state_table, service, whole, seconds, _dynamodb),
    )


def _dynamodb() -> Any:
    from layers.core.storage import client

    return client("dynamodb")


def _step_functions() -> Any:
    from layers.core.storage import client

    return client("stepfunctions")
