"""The services that the entries work with, made once per sandbox."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from functions.swap import cost, inputs
from functions.swap.batch.records import BatchRecords
from functions.swap.context import SwapContext
from functions.swap.idempotency import Idempotency
from functions.swap.jobs import Jobs
from functions.swap.moving_records import MovingRecords
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.settings import Settings, load_settings
from functions.swap.upload_claims import UploadClaims
from functions.swap.values import FaceListing, SwapOutcome, SwapRequest, SwapResult, list_digests
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, MovingMeme
from layers.core.fair_share import Sandboxes
from layers.core.pseudonyms import Pseudonyms
from layers.core.telemetry import emit, logger, memory_percent
from layers.core.terms import Terms

NEW_ACCOUNT_CONCURRENCY = 10  # concurrent executions that a new AWS account may have
MAX_BATCH_ROOM = 500  # memes of one batch side by side: one record counts them, at a thousand writes a second at most
ACCOUNT_LIMIT_SECONDS = 3600.0  # how long an account's limit is cached
TIMEOUT_SECONDS = 120.0  # of the function
STEP_SECONDS = 900.0  # time-out of the function that does the steps of moving memes
SPARE_SANDBOXES = 2  # that the steps of one caller's moving memes leave free
SCRATCH = "verify-"  # prefix of the names of scratch folders
ADVICE = "Use a smaller picture, or try again: a warm start is faster."  # in every OutOfTime
MARGIN_SECONDS = 1.5  # to respond, to write a failure, to remove an idempotency record

if TYPE_CHECKING:
    from layers.core.storage import Storage
    from layers.models.runtime.loaded_models import LoadedModels


@dataclass(frozen=True)
class Services:
    """Settings, and everything outside this process that a request touches."""

    settings: Settings
    storage: Storage
    models: LoadedModels
    idempotency: Idempotency
    jobs: Jobs
    moving_jobs: Jobs
    budget: Budget
    terms: Terms
    denylist: DenylistStore
    records: MovingRecords
    claims: UploadClaims
    pseudonyms: Pseudonyms
    sandboxes: Sandboxes
    step_sandboxes: Sandboxes  # the same ones, as the steps of moving memes take them
    batches: BatchRecords
    batch_jobs: Jobs
    batch_room: Callable[[], int]  # how many memes of one batch are swapped side by side

    def context(self, deadline: Deadline) -> SwapContext:
        """What a request with that deadline works with."""
        from functions.swap.backends.choice import choose_remotes

        return SwapContext(
            settings=self.settings,
            storage=self.storage,
            models=self.models,
            budget=self.budget,
            denylist=self.denylist,
            records=self.records,
            deadline=deadline,
            remotes=choose_remotes(self.settings.remote_swapper, self.storage, self.settings.outputs_bucket),
        )

    def swap(self, request: SwapRequest, *, key: str, deadline: Deadline, add_extension: bool = False) -> SwapOutcome:
        """Run the pipeline and measure it; afterwards the models are unloaded where the settings say so.

        A caller who is turned away for lack of capacity is not charged. Raises AtCapacity where others wait and this
        caller has its share, and the errors of the pipeline.
        """
        with self.sandboxes.share(request.caller):
            cost.charge_swap_upfront(self.budget, request)
            return self._swap(request, key=key, deadline=deadline, add_extension=add_extension)

    def list_faces(self, meme: str, caller: str | None, deadline: Deadline, with_preview: bool = False) -> FaceListing:
        """List the faces of a picture; the models are unloaded as after a swap.

        A request that could never be fetched is not charged, nor a caller who is turned away for lack of capacity.
        Raises RefusedUrl, InvalidRequest, AtCapacity, BudgetSpent, and the errors of `face_listing.list_faces`.
        """
        from functions.swap import face_listing

        inputs.check_uri(meme, ("meme",), caller, self.settings)
        with self.sandboxes.share(caller):
            cost.charge_upfront(self.budget, caller)
            try:
                return face_listing.list_faces(meme, caller, self.context(deadline), with_preview)
            finally:
                if self.settings.model_retention == "request":
                    self.models.release()

    def _swap(self, request: SwapRequest, *, key: str, deadline: Deadline, add_extension: bool) -> SwapOutcome:
        from functions.swap import pipeline

        try:
            outcome = pipeline.swap(request, self.context(deadline), key=key, add_extension=add_extension)
        except MovingMeme:
            raise  # nothing failed: others swap it
        except ColdswapError as error:
            emit({"Failed": 1})
            bytes_wasted = error.extra.get("bytes_in_vain", 0)
            logger().info("not swapped", extra={"code": error.code, "bytes_in_vain": bytes_wasted})
            raise
        finally:
            if self.settings.model_retention == "request":
                self.models.release()
        record_swap(request, outcome.result)
        return outcome


def record_swap(request: SwapRequest, result: SwapResult, line: str = "swapped") -> None:
    """Send the metrics of a swap, and write its audit line under that name.

    The line says who did what with which pictures and models, and why the face may be used. It has no picture and no
    URL, and of the caller only the pseudonym; the identity is in the line of the HTTP request.
    """
    replaced = sum(face.swapped for face in result.faces)
    emit({"Swapped": replaced, **memory_percent(result.peak_memory_mb)})
    audit = {
        "key": result.key,
        "digests": result.digests,
        "sources": sorted({digest for face in result.faces for digest in list_digests(face.source)}),
        "models": result.models,
        "engine": result.engine,
        "gate": result.gate,
        "caller": request.caller,
        "consent": request.consent,
    }
    measurements = {
        "faces": replaced,
        "cold_start": int(result.cold_start),  # CloudWatch Logs Insights sums numbers
        "timings_ms": result.timings_ms,
        "bytes_fetched": result.bytes_fetched,
        "bytes_in_vain": result.bytes_in_vain,
        "peak_memory_mb": result.peak_memory_mb,
    }
    logger().info(line, extra={**audit, **measurements})


def deadline(context: Any) -> Deadline:
    """When this invocation's work must be done, which leaves time to report that it is not."""
    return Deadline.after(max(context.get_remaining_time_in_millis() / 1000 - MARGIN_SECONDS, 0.0), ADVICE)


def load_services() -> Services:
    """The sandbox's services, made when first needed, with boto3 imported."""
    services = make_services()
    services.storage.connect()
    return services


@cache
def make_services() -> Services:
    """The sandbox's services, made when first needed, without anything that takes long to import.

    Before a request has threads, call `storage.connect`.
    """
    from layers.core.s3_reader import reader
    from layers.core.storage import Storage
    from layers.models.runtime.loaded_models import LoadedModels
    from layers.models.runtime.model_store import ModelStore

    settings = load_settings()
    table, limit = settings.state_table, concurrency_limit(settings.reserved_concurrency, _lambda)
    store, storage = ModelStore(settings.models_bucket, reader()), Storage()
    return Services(
        settings=settings,
        storage=storage,
        models=LoadedModels(store, settings.threads, settings.model_retention, settings.memory_mb),
        idempotency=Idempotency(settings.state_table),
        jobs=Jobs(settings.state_machine_arn, _step_functions),
        moving_jobs=Jobs(settings.moving_machine_arn, _step_functions),
        budget=Budget(settings.state_table, cost.UNIT, lambda: settings.daily_budget, _dynamodb),
        terms=Terms("" if settings.auth_mode == "open" else settings.state_table, _dynamodb),  # nobody to ask
        denylist=DenylistStore(storage, settings.models_bucket),
        records=MovingRecords(settings.state_table, _dynamodb, settings.result_seconds),
        claims=UploadClaims(settings.state_table, _dynamodb, settings.result_seconds),
        pseudonyms=Pseudonyms(settings.state_table, _dynamodb),
        sandboxes=Sandboxes(table, TIMEOUT_SECONDS, limit, _dynamodb),
        step_sandboxes=Sandboxes(table, STEP_SECONDS, limit, _dynamodb, spare=SPARE_SANDBOXES),
        batches=BatchRecords(table, _dynamodb, settings.result_seconds),
        batch_jobs=Jobs(settings.batch_machine_arn, _step_functions),
        batch_room=lambda: batch_room(limit()),
    )


def batch_room(sandboxes: int) -> int:
    """How many memes of a batch are swapped side by side where there may be so many sandboxes: half of them, so that
    whoever waits for an answer finds one."""
    return max(1, min(sandboxes // 2, MAX_BATCH_ROOM))


def concurrency_limit(
    reserved: int, client: Callable[[], Any], now: Callable[[], float] = time.monotonic
) -> Callable[[], int]:
    """Return a getter of the number of sandboxes that this function may have: its reserved concurrency, or what the
    account has unreserved.

    `client` returns the Lambda client when first needed. If AWS does not tell, the number is that of a new account.
    """
    latest: list[tuple[float, int]] = []

    def limit() -> int:
        from botocore.exceptions import BotoCoreError, ClientError

        if reserved:
            return reserved
        if latest and now() - latest[0][0] < ACCOUNT_LIMIT_SECONDS:
            return latest[0][1]
        try:
            unreserved = int(client().get_account_settings()["AccountLimit"]["UnreservedConcurrentExecutions"])
        except (BotoCoreError, ClientError):
            logger().exception("could not read the account's concurrency limit")
            unreserved = NEW_ACCOUNT_CONCURRENCY
        latest[:] = [(now(), unreserved)]
        return unreserved

    return limit


def _lambda() -> Any:
    from layers.core.storage import client

    return client("lambda")


def _dynamodb() -> Any:
    from layers.core.storage import client

    return client("dynamodb")


def _step_functions() -> Any:
    from layers.core.storage import client

    return client("stepfunctions")
