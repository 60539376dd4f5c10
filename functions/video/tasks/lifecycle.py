"""The life of a task: submitted, cancelled, failed, settled. It takes a slot to begin and frees it at its end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from functions.video.cost import video_seconds
from functions.video.services import Services
from functions.video.tasks.store import Task, digest
from functions.video.values import OWN, Status, VideoRequest, file_keys
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

_TIMEOUTS = ("Sandbox.Timedout", "States.Timeout")


def submit(request: VideoRequest, caller: str, idempotency_key: str | None, services: Services) -> Task:
    """The task that makes this video; the same caller's same key again is the same task, and costs nothing more.

    The slot comes first, then the item, then the execution. A crash in between leaves a lease that expires, or a queued
    task that a repeated request starts. Raises IdempotencyConflict, BudgetSpent, AtCapacity or StorageFailed.
    """
    task_id = new_id() if idempotency_key is None else services.pseudonyms.id("video", caller, idempotency_key)
    task = services.tasks.find(task_id) if idempotency_key is not None else None
    if task is not None:
        _check_same_request(task, request)
        if task.status != "queued":
            return task
        services.slots.take(task_id, caller)
    else:
        _pay_and_take_slot(task_id, request, caller, services)
    task = _start(task_id, request, caller, services)
    _check_same_request(task, request)
    return task


def _pay_and_take_slot(task_id: str, request: VideoRequest, caller: str, services: Services) -> None:
    cost = video_seconds(request.script_text)
    services.budget.check(caller, cost)  # a caller without budget takes no slot from others, not even for a moment
    services.slots.take(task_id, caller)
    try:
        services.budget.spend(caller, cost)
    except ColdswapError:
        services.slots.free(task_id)
        raise


def _start(task_id: str, request: VideoRequest, caller: str, services: Services) -> Task:
    """The new task with its execution started; or the one with this id that exists by now."""
    task = services.tasks.new(task_id, request, caller, services.settings.result_seconds)
    is_new = False
    try:
        is_new = services.tasks.add(task)
        if is_new:
            _log_audit(task)
        else:
            # The same request came twice at once, or its first one was cut off before the workflow started.
            existing = services.tasks.find(task_id)
            if existing is None:
                raise StorageFailed("The task was deleted while it was requested again. Try again.")
            if existing.over:
                services.slots.free(task_id)
            if existing.status != "queued":
                return existing
            task = existing
            _check_same_request(task, request)
        services.executions.start(task.execution, task_id)
    except ColdswapError:
        if is_new:
            services.tasks.remove(task_id)
            services.slots.free(task_id)
        raise
    return task


def _log_audit(task: Task) -> None:
    """Log who had what spoken, by which voice. No text: the line of a given script is found by its SHA-256."""
    request = task.request
    facts = {
        "task_id": task.id,
        "caller": task.caller,
        "script_sha256": hashlib.sha256(request.script_text.encode()).hexdigest(),
        "characters": len(request.script_text),
        "voice": OWN if request.voice_uri else request.voice_id,  # None: the operator's choice
        "quality": request.quality,
        "captions": request.captions,
        "badge": request.badge,
    }
    logger().info("video requested", extra=facts)


def _check_same_request(task: Task, request: VideoRequest) -> None:
    if task.digest != digest(request):
        raise IdempotencyConflict("This Idempotency-Key was used before with another request. Use a new one.")


def delete(task: Task, services: Services) -> Task:
    """The task, cancelled if it was not over; its request, its files and its artifacts are deleted.

    A second time, it deletes what the first one left. A step that is still running deletes its artifacts by itself.
    """
    if not task.over:
        try:
            error = Cancelled("The task was cancelled.")
            end(task.id, "cancelled", error, services, steps_running=task.status == "running")
        except Cancelled:
            logger().info("ended by itself", extra={"task_id": task.id})  # at this very moment
        else:
            services.executions.stop(task.execution)
    remains = services.tasks.forget(task)
    if remains is None:
        return task
    # Every possible file: a step that failed while it published has recorded none.
    for key in [*file_keys(task.id).values(), *sorted(remains.artifact_keys)]:
        services.storage.delete(services.settings.outputs_bucket, key)
    return services.tasks.clear(task.id) or remains


def end(task_id: str, status: Status, error: ColdswapError, services: Services, steps_running: bool = False) -> Task:
    """The task, failed or cancelled. Raises Cancelled if it was over before.

    Its slot is freed either way: at once, or a little later where steps may still be running. Otherwise a caller who
    cancels and requests again would have more videos being made than there are slots.
    """
    try:
        task = services.tasks.end(task_id, status, problem(error, instance=f"/task/{task_id}"))
    finally:
        if steps_running:
            services.slots.shorten(task_id)
        else:
            services.slots.free(task_id)
    count_fault(error, raised_here=False)
    return task


def settle_task(event: Mapping[str, Any], services: Services) -> Task | None:
    """The task of an execution that ended, by EventBridge's event; None if the task was over before."""
    detail = event["detail"]
    task_id = str(json.loads(detail["input"])["task_id"])
    status: Status = "failed"
    match detail["status"]:
        case "TIMED_OUT":
            error: ColdswapError = OutOfTime("The video took longer than the workflow is allowed to.")
        case "ABORTED":
            status, error = "cancelled", Cancelled("The workflow was stopped.")
        case _:
            error = workflow_error(str(detail.get("error") or ""), str(detail.get("cause") or ""))
    try:
        task = end(task_id, status, error, services, steps_running=detail["status"] == "ABORTED")
    except Cancelled:
        return None
    logger().warning("settled", extra={"task_id": task_id, "status": detail["status"], "code": error.code})
    return task


def workflow_error(name: str, cause: str) -> ColdswapError:
    """The error for a workflow's error name; the cause is Lambda's JSON with the message, or the sentence itself.

    Only errors of the family keep their message; that of any other may hold what nobody should read.
    """
    kind = family().get(name.rpartition(".")[2])
    if kind is None or kind is InternalError:
        if name in _TIMEOUTS:
            return OutOfTime("A step took longer than it is allowed to.")
        if name == "Lambda.TooManyRequestsException":
            return AtCapacity("The video function was throttled for longer than a step waits. Try again later.")
        return InternalError(f"A step ended with {name[:100] or 'no reason'}. The log has the details.")
    try:
        document = json.loads(cause)
    except ValueError:
        document = cause
    detail = document.get("errorMessage") if isinstance(document, dict) else document
    return kind(str(detail) if detail else None)
