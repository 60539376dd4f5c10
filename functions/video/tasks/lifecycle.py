"""How a task begins and ends: submitted, cancelled, failed, settled. What begins takes a slot, what ends frees it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

from functions.video.render.speech import spoken
from functions.video.services import Services
from functions.video.tasks.store import Task, digest
from functions.video.values import Status, VideoRequest, file_keys
from layers.core.errors import (
    AtCapacity,
    Cancelled,
    ColdswapError,
    IdempotencyConflict,
    InternalError,
    OutOfTime,
    StorageFailed,
    family,
    problem,
)
from layers.core.ids import new_id
from layers.core.telemetry import count_fault, logger


def submit(request: VideoRequest, caller: str, idempotency_key: str | None, services: Services) -> Task:
    """The task that makes this video; the same caller's same key again is the same task, and costs nothing more.

    The slot comes first, then the item, then the execution. A crash in between leaves a lease that expires, or a queued
    task that a repeated request starts. Raises IdempotencyConflict, BudgetSpent, AtCapacity or StorageFailed.
    """
    task_id = new_id() if idempotency_key is None else services.pseudonyms.id("video", caller, idempotency_key)
    known = services.tasks.find(task_id) if idempotency_key is not None else None
    if known is None or known.status == "queued":
        _same(known, request)
        cost = math.ceil(spoken(request.script_text))
        if known is None:
            services.budget.check(caller, cost)  # who has none left takes no room from others, not even for a moment
        services.slots.take(task_id, caller)
        if known is None:
            try:
                services.budget.spend(caller, cost)
            except ColdswapError:
                services.slots.free(task_id)
                raise
        known = _begun(task_id, request, caller, services)
    _same(known, request)
    return known


def _begun(task_id: str, request: VideoRequest, caller: str, services: Services) -> Task:
    task = services.tasks.new(task_id, request, caller, services.settings.result_seconds)
    added = False
    try:
        added = services.tasks.add(task)
        if not added:
            # The same request came twice at once, or its first one was cut off before the workflow started.
            there = services.tasks.find(task_id)
            if there is None:
                raise StorageFailed("The task went away while it was asked for again. Try again.")
            if there.over:
                services.slots.free(task_id)
            if there.status != "queued":
                return there
            task = there
            _same(task, request)
        else:
            _audit(task)
        services.executions.start(task.execution, task_id)
    except ColdswapError:
        if added:
            services.tasks.remove(task_id)
            services.slots.free(task_id)
        raise
    return task


def _audit(task: Task) -> None:
    """The audit line: who had what spoken, by which voice. No text: whoever has a script finds its line by SHA-256."""
    request = task.request
    facts = {
        "task_id": task.id,
        "caller": task.caller,
        "script_sha256": hashlib.sha256(request.script_text.encode()).hexdigest(),
        "characters": len(request.script_text),
        "voice": request.voice_id,  # None: the operator's
        "quality": request.quality,
        "captions": request.captions,
        "badge": request.badge,
    }
    logger().info("video requested", extra=facts)


def _same(known: Task | None, request: VideoRequest) -> None:
    if known is not None and known.digest != digest(request):
        raise IdempotencyConflict("This Idempotency-Key was used before with another request. Use a new one.")


def delete(task: Task, services: Services) -> Task:
    """The task, cancelled if it was not over; what was asked for, made and used for it is deleted.

    Again, it deletes what was left the first time. A step that is still at work deletes what it makes by itself.
    """
    if not task.over:
        try:
            ended(task.id, "cancelled", Cancelled("The task was cancelled."), services, task.status == "running")
        except Cancelled:
            logger().info("ended of itself", extra={"task_id": task.id})  # at this very moment
        else:
            services.executions.stop(task.execution)
    forgotten = services.tasks.forget(task)
    if forgotten is None:
        return task
    # All the places that there are: a step that failed while it published has told of none.
    for key in [*file_keys(task.id).values(), *sorted(forgotten.work)]:
        services.storage.delete(services.settings.outputs_bucket, key)
    return services.tasks.clear(task.id) or forgotten


def ended(task_id: str, status: Status, error: ColdswapError, services: Services, at_work: bool = False) -> Task:
    """The task, failed or cancelled. Raises Cancelled if it was over before.

    Its slot is free either way: at once, or a little later where steps may still be `at_work`. Else who asks and
    cancels, and asks again, would have more at work than there are slots.
    """
    try:
        task = services.tasks.end(task_id, status, problem(error, instance=f"/task/{task_id}"))
    finally:
        if at_work:
            services.slots.shorten(task_id)
        else:
            services.slots.free(task_id)
    count_fault(error, raised_here=False)
    return task


def settle(event: Mapping[str, Any], services: Services) -> Task | None:
    """The task of an execution that ended, as EventBridge tells it; None if the task was over before."""
    detail = event["detail"]
    task_id = str(json.loads(detail["input"])["task_id"])
    status: Status = "failed"
    match detail["status"]:
        case "TIMED_OUT":
            error: ColdswapError = OutOfTime("The video took longer than the workflow may.")
        case "ABORTED":
            status, error = "cancelled", Cancelled("The workflow was stopped.")
        case _:
            error = failure(str(detail.get("error") or ""), str(detail.get("cause") or ""))
    try:
        task = ended(task_id, status, error, services, detail["status"] == "ABORTED")
    except Cancelled:
        return None
    logger().warning("settled", extra={"task_id": task_id, "status": detail["status"], "code": error.code})
    return task


_TIMEOUTS = ("Sandbox.Timedout", "States.Timeout")


def failure(name: str, cause: str) -> ColdswapError:
    """The error of a workflow by its name there; the cause is Lambda's JSON with the message, or the sentence itself.

    Only errors of the family speak for themselves; what others say may hold what nobody should read.
    """
    kind = family().get(name.rpartition(".")[2])
    if kind is None or kind is InternalError:
        if name in _TIMEOUTS:
            return OutOfTime("A step took longer than it may.")
        if name == "Lambda.TooManyRequestsException":
            return AtCapacity("The video function was busy for longer than a step waits. Ask again later.")
        return InternalError(f"A step ended with {name[:100] or 'no reason'}. The log has more.")
    try:
        said = json.loads(cause)
    except ValueError:
        said = cause
    detail = said.get("errorMessage") if isinstance(said, dict) else said
    return kind(str(detail) if detail else None)
