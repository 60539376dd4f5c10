"""What the entries work with, made once per sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.swap.idempotency import Idempotency
from functions.swap.jobs import Jobs
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.settings import Settings, settings
from functions.swap.swap_records import SwapRecords
from functions.swap.values import PAID_AT_ONCE, Swapped, SwapRequest
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError
from layers.core.fair_share import Sandboxes
from layers.core.pseudonyms import Pseudonyms
from layers.core.telemetry import emit, logger, memory_percent
from layers.core.terms import Terms

SMALLEST_ACCOUNT = 10  # executions at one time, on a new one
LIMIT_SECONDS = 3600.0  # for which an account's limit is taken to be the same
LONGEST_SECONDS = 120.0  # that a request may be at work: the function's time-out
SCRATCH = "verify-"  # begins the names of folders for work files
ADVICE = "Try a smaller picture, or again: a warm start is faster."  # to whom time ran out
MARGIN_SECONDS = 1.5  # to answer, to write what failed, to forget an idempotency record

if TYPE_CHECKING:
    from layers.core.storage import Storage
    from layers.models.runtime.loaded_models import LoadedModels


@dataclass(frozen=True)
class Services:
    """Settings, and everything outside this process that a swap touches."""

    settings: Settings
    storage: Storage
    models: LoadedModels
    once: Idempotency
    jobs: Jobs
    budget: Budget
    terms: Terms
    refusals: DenylistStore
    ledger: SwapRecords
    pseudonyms: Pseudonyms
    sandboxes: Sandboxes

    def swap(self, request: SwapRequest, *, key: str, deadline: Deadline, add_extension: bool = False) -> Swapped:
        """The use case with these services, measured; models are unloaded after it where the settings say so.

        Room comes before money: who is told to come again has paid nothing; what was queued has paid when it was.
        Raises AtCapacity where others wait and this caller has its share, and the errors of the use case.
        """
        with self.sandboxes.share(request.caller):
            if request.queued is None:
                self.budget.spend(request.caller, PAID_AT_ONCE)
            return self._swap(request, key=key, deadline=deadline, add_extension=add_extension)

    def _swap(self, request: SwapRequest, *, key: str, deadline: Deadline, add_extension: bool) -> Swapped:
        from functions.swap import pipeline

        try:
            swapped = pipeline.swap(
                request,
                key=key,
                add_extension=add_extension,
                deadline=deadline,
                settings=self.settings,
                storage=self.storage,
                models=self.models,
                budget=self.budget,
                refusals=self.refusals,
                ledger=self.ledger,
            )
        except ColdswapError as error:
            emit({"Failed": 1})
            in_vain = error.extra.get("bytes_in_vain", 0)
            logger().info("not swapped", extra={"code": error.code, "bytes_in_vain": in_vain})
            raise
        finally:
            if self.settings.model_retention == "request":
                self.models.release()
        result = swapped.result
        swapped_faces = sum(face.swapped for face in result.faces)
        emit({"Swapped": swapped_faces, **memory_percent(result.peak_memory_mb)})
        # The audit line: who did what with which pictures and models, and on what ground; no picture, no URL, and of
        # the caller the pseudonym, whose identity stands in the line of the HTTP request.
        audit = {
            "key": result.key,
            "digests": result.digests,
            "models": result.models,
            "engine": result.engine,
            "gate": result.gate,
            "caller": request.caller,
            "consent": request.consent,
        }
        measures = {
            "faces": swapped_faces,
            "cold_start": int(result.cold_start),  # CloudWatch Logs Insights sums numbers
            "timings_ms": result.timings_ms,
            "bytes_fetched": result.bytes_fetched,
            "bytes_in_vain": result.bytes_in_vain,
            "peak_memory_mb": result.peak_memory_mb,
        }
        logger().info("swapped", extra={**audit, **measures})
        return swapped


def deadline(context: Any) -> Deadline:
    """When the work of this invocation must be done, with time left to say so if it is not."""
    return Deadline.after(max(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, 0.0), ADVICE)


@cache
def services() -> Services:
    """This sandbox's."""
    from layers.core.storage import Storage, client
    from layers.models.runtime.loaded_models import LoadedModels
    from layers.models.runtime.model_store import ModelStore

    known = settings()
    store, storage = ModelStore(known.models_bucket, client("s3")), Storage()
    return Services(
        settings=known,
        storage=storage,
        models=LoadedModels(store, known.threads, known.model_retention, known.memory_mb),
        once=Idempotency(known.state_table),
        jobs=Jobs(known.state_machine_arn, _step_functions),
        budget=Budget(known.state_table, "megapixels", known.daily_budget, _dynamodb),
        terms=Terms("" if known.auth_mode == "open" else known.state_table, _dynamodb),  # nobody can be asked there
        refusals=DenylistStore(storage, known.models_bucket),
        ledger=SwapRecords(known.state_table, _dynamodb, known.result_seconds),
        pseudonyms=Pseudonyms(known.state_table, _dynamodb),
        sandboxes=Sandboxes(known.state_table, LONGEST_SECONDS, room(known.reserved_concurrency, _lambda), _dynamodb),
    )


def room(reserved: int, client: Callable[[], Any], now: Callable[[], float] = time.monotonic) -> Callable[[], int]:
    """How many sandboxes this function may have: what is reserved for it, or what the account leaves unreserved.

    `client` gives the Lambda client when first needed. Where AWS does not say, it is taken for a new account.
    """
    latest: list[tuple[float, int]] = []

    def ask() -> int:
        from botocore.exceptions import BotoCoreError, ClientError

        if reserved:
            return reserved
        if latest and now() - latest[0][0] < LIMIT_SECONDS:
            return latest[0][1]
        try:
            limit = int(client().get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])
        except (BotoCoreError, ClientError):
            logger().exception("the account's limit is unknown")
            limit = SMALLEST_ACCOUNT
        latest[:] = [(now(), limit)]
        return limit

    return ask


def _lambda() -> Any:
    from layers.core.storage import client

    return client("lambda")


def _dynamodb() -> Any:
    from layers.core.storage import client

    return client("dynamodb")


def _step_functions() -> Any:
    from layers.core.storage import client

    return client("stepfunctions")
