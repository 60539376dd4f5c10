"""The steps of the workflow for batches (batch.asl.yaml): ids and keys in, a word on how to go on out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from functions.swap import cost, submission
from functions.swap.batch import clearing, report
from functions.swap.batch.submission import name_prefix, submit_prefix
from functions.swap.batch.values import Batch, Outcome, name_item
from functions.swap.moving_end import name_failure
from functions.swap.services import Services
from functions.swap.swap_records import SwapRecord
from layers.core.deadline import Deadline
from layers.core.errors import (
    BudgetSpent,
    ColdswapError,
    InternalError,
    InvalidRequest,
    LabelFailed,
    ModelsCorrupt,
    ModelsMissing,
    NotFound,
    SafeguardFailed,
)
from layers.core.telemetry import correlate, count_fault, logger

# Errors that the next meme would end with too: no retry cures them, and they count against what a run tolerates.
COMMON_ERRORS = (BudgetSpent, InternalError, LabelFailed, ModelsCorrupt, ModelsMissing, SafeguardFailed)
LOOK_SECONDS = (2, 60)  # between two looks at a moving meme: a quarter of its age, within these
MAX_TRIES = 50  # runs of one moving meme that failed

Payload = Mapping[str, Any]
Result = dict[str, Any]


def run(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """The output of the step that the payload names. Raises the step's own errors."""
    step = str(payload.get("step"))
    if step not in STEPS:
        raise InvalidRequest(f"There is no step {step[:40]!r}.")
    return STEPS[step](services, payload, deadline)


def _open(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """Begin a run: where its memes lie, and how many may be swapped side by side."""
    started = payload.get("input")
    if isinstance(started, dict) and "batch" in started:
        batch = services.batches.begin(str(started["batch"]))
    else:
        from functions.swap.entry.schemas import parse_batch_task

        body = parse_batch_task(started)
        name = submit_prefix(services, body.request(), body.prefix).id
        batch = services.batches.begin(name, str(payload["execution"]))
    if batch is None:
        raise NotFound("There is no such batch, or it was deleted.")
    return {"batch": batch.id, "run": batch.run, "prefix": batch.prefix, "room": services.batch_room()}


def _swap(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """Swap one meme, or look how far its own workflow is: `wait` for so many seconds, or it is `over`.

    Raises errors that a retry can cure, and COMMON_ERRORS.
    """
    key = str(payload["key"])
    batch = _wanted(services, payload)
    if batch is None or key.endswith("/"):  # the empty object by which the S3 console marks a folder
        return {"next": "over"}
    correlate(batch.id, batch.id)
    record = _claim(services, batch, key)
    if record is None:
        return {"next": "over"}  # its owner deleted this one alone
    try:
        _work(services, batch, record, deadline)
    except ColdswapError as error:
        if error.retryable:
            raise
        _fail(services, batch, record.id, error)
        if isinstance(error, COMMON_ERRORS):
            raise
    return _look(services, batch, record.id, deadline)


def _wanted(services: Services, payload: Payload) -> Batch | None:
    """The batch whose run goes on; None once it is over, or the batch is deleted."""
    batch = services.batches.find(str(payload["batch"]))
    return batch if batch and batch.is_open and batch.run == int(payload["run"]) else None


def _claim(services: Services, batch: Batch, key: str) -> SwapRecord | None:
    """The record of the object that lies there now; None if its owner deleted the swap of it."""
    head = services.storage.head(services.settings.uploads_bucket, key)
    name = name_item(batch.id, key, head.etag if head else "")
    uri = f"s3://{services.settings.uploads_bucket}/{key}"
    for _ in range(MAX_TRIES):
        if batch.caller is not None and services.records.was_deleted(name, batch.caller):
            return None
        services.batches.add_item(batch, name, key, {"meme": uri, **batch.request})
        record = services.records.find(name)
        is_spent = record is not None and record.status == "failed" and record.run < batch.run
        if not is_spent:
            return record
        name = name_item(batch.id, key, name)  # the workflow of a moving meme has a name that is used once
    raise InternalError("A meme failed in too many runs.")


def _work(services: Services, batch: Batch, record: SwapRecord, deadline: Deadline) -> None:
    if record.status not in ("queued", "running"):
        return
    if record.kind == "moving":
        if record.status == "queued":  # an earlier try may have been killed before it started the workflow
            services.moving_jobs.start(record.id)
        return
    began = time.perf_counter()
    try:
        cost.charge_item(services.budget, batch.caller, record.id)
        submission.swap_queued(services, record.id, deadline)
    finally:
        services.records.add_compute(record.id, round((time.perf_counter() - began) * 1000))


def _fail(services: Services, batch: Batch, name: str, error: ColdswapError) -> None:
    if services.records.fail(name, type(error).__name__, error.detail) is not None:
        count_fault(error, raised_here=False)
    logger().warning("meme of a batch failed", extra={"batch": batch.id, "swap": name, "code": error.code})
    _count(services, batch, name)


def _look(services: Services, batch: Batch, name: str, deadline: Deadline) -> Result:
    """How the meme is: counted once it is over, and cleared away if the batch is no longer wanted."""
    record = services.records.find(name)
    current = services.batches.find(batch.id)
    if current is None or current.status == "deleting":
        if record is not None:
            clearing.delete_item(services, record, deadline)
        return {"next": "over"}
    if record is not None and record.status in ("queued", "running"):
        least, most = LOOK_SECONDS
        age = time.time() - record.created_at
        return {"next": "wait", "seconds": round(max(least, min(most, age / 4)))}
    if record is not None:
        _count(services, batch, name)
    return {"next": "over"}


def _count(services: Services, batch: Batch, name: str) -> None:
    """Count a meme that is over, once for each run; what it took is counted only by the run that swapped it."""
    item = services.batches.claim_count(name, batch.run)
    if item is None:
        return
    is_new = item.run == batch.run
    outcome: Outcome = "done" if item.status == "succeeded" else "failed"
    dollars = report.remote_dollars(item) if is_new else 0.0
    services.batches.count(batch.id, outcome, item.compute_ms if is_new else 0, dollars)


def _give_up(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """Record why a meme failed whose tries are used up; the error's name and sentence, with which its workflow ends."""
    error = name_failure(str(payload.get("error")), str(payload.get("cause")))
    batch = _wanted(services, payload)
    record = _claim(services, batch, str(payload["key"])) if batch else None
    if batch and record:
        _fail(services, batch, record.id, error)
    return {"error": type(error).__name__, "cause": error.detail}


def _report(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """Write the report, and end the run."""
    batch = _wanted(services, payload)
    if batch is None:
        return {"batch": str(payload["batch"])}
    error = str(payload.get("error") or "")
    return report.end(services, batch, error, str(payload.get("cause") or ""))


def _clear(services: Services, payload: Payload, deadline: Deadline) -> Result:
    """Delete a part of a batch; whether anything is left."""
    return {"next": "over" if clearing.clear(services, str(payload["batch"]), deadline) else "clear"}


def settle(services: Services, detail: Mapping[str, Any]) -> None:
    """Do for an execution that ended badly what its workflow has not done itself, by the detail of EventBridge's event.

    Raises StorageFailed.
    """
    # An operator's input may be anything, and EventBridge leaves out what is too large for it: no batch is begun with
    # such a one.
    started = json.loads(detail.get("input") or "null")
    if isinstance(started, dict) and "clear" in started:
        count_fault(name_failure(str(detail.get("error")), ""), raised_here=False)
        return
    batch = services.batches.find(_name_started(started))
    if batch is None or not batch.is_open or detail["name"] != batch.execution:
        return
    errors = {"TIMED_OUT": "States.Timeout", "ABORTED": NotFound.__name__}
    error = errors.get(str(detail["status"])) or str(detail.get("error") or "")
    cause = "The workflow was stopped." if detail["status"] == "ABORTED" else str(detail.get("cause") or "")
    report.end(services, batch, error, cause)


def _name_started(started: Any) -> str:
    """The id of the batch of an execution with that input; "" where there cannot be one."""
    if isinstance(started, dict) and "batch" in started:
        return str(started["batch"])
    from functions.swap.entry.schemas import parse_batch_task

    try:
        body = parse_batch_task(started)
    except InvalidRequest:
        return ""
    return name_prefix(body.request(), body.prefix)


STEPS: dict[str, Callable[[Services, Payload, Deadline], Result]] = {
    "open": _open,
    "swap": _swap,
    "give_up": _give_up,
    "report": _report,
    "clear": _clear,
}
