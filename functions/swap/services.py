"""What the entries work with, made once per sandbox."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.swap.jobs import Jobs
from functions.swap.once import Once
from functions.swap.refused import Refusals
from functions.swap.values import SwapRequest, SwapResult
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError
from layers.core.settings import Settings, settings
from layers.core.telemetry import emit, logger
from layers.core.terms import Terms

MARGIN_SECONDS = 1.5  # to answer, to write what failed, to forget an idempotency record

if TYPE_CHECKING:
    from layers.core.storage import Storage
    from layers.models.pack import LoadedModels


@dataclass(frozen=True)
class Services:
    """Settings, and everything outside this process that a swap touches."""

    settings: Settings
    storage: Storage
    models: LoadedModels
    once: Once
    jobs: Jobs
    budget: Budget
    terms: Terms
    refusals: Refusals

    def swap(self, request: SwapRequest, *, key: str, deadline: Deadline, add_extension: bool = False) -> SwapResult:
        """The use case with these services, measured; models are unloaded after it where the settings say so."""
        from functions.swap import use_case

        try:
            result = use_case.swap(
                request,
                key=key,
                add_extension=add_extension,
                deadline=deadline,
                settings=self.settings,
                storage=self.storage,
                models=self.models,
                budget=self.budget,
                refusals=self.refusals,
            )
        except ColdswapError as error:
            emit({"Failed": 1, "BytesInVain": error.extra.get("bytes_in_vain", 0)}, {}, cold_start=False)
            raise
        finally:
            if self.settings.model_retention == "request":
                self.models.release()
        counts = {
            "Swapped": sum(face.swapped for face in result.faces),
            "BytesFetched": result.bytes_fetched,
            "BytesInVain": result.bytes_in_vain,
            "PeakMemory": result.peak_memory_mb,
        }
        emit(counts, result.timings_ms, result.cold_start)
        # The audit line: who did what with which pictures and models, and on what ground; no picture, no URL, no name
        # of a caller in AWS but its ARN or subject.
        audit = {
            "key": result.key,
            "digests": result.digests,
            "models": result.models,
            "engine": result.engine,
            "gate": result.gate,
            "caller": request.caller,
            "consent": request.consent,
            "timings_ms": result.timings_ms,
        }
        logger().info("swapped", extra={**audit, **counts})
        return result


def deadline(context: Any) -> Deadline:
    """When the work of this invocation must be done, with time left to say so if it is not."""
    return Deadline.after(max(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, 0.0))


@cache
def services() -> Services:
    """This sandbox's."""
    from layers.core.storage import Storage, client
    from layers.models.pack import LoadedModels
    from layers.models.store import ModelStore

    known = settings()
    store, storage = ModelStore(known.models_bucket, client("s3")), Storage()
    return Services(
        settings=known,
        storage=storage,
        models=LoadedModels(store, known.threads, known.model_retention, known.memory_mb),
        once=Once(known.state_table),
        jobs=Jobs(known.state_machine_arn, _step_functions),
        budget=Budget(known.state_table, "megapixels", known.daily_budget, _dynamodb),
        terms=Terms(known.state_table, _dynamodb),
        refusals=Refusals(storage, known.models_bucket),
    )


def _dynamodb() -> Any:
    from layers.core.storage import client

    return client("dynamodb")


def _step_functions() -> Any:
    from layers.core.storage import client

    return client("stepfunctions")
