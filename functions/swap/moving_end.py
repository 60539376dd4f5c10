"""The end of a moving meme's swap that came to nothing: recorded where the caller looks, and cleared away."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from functions.swap import results
from functions.swap.moving_submission import name_work
from functions.swap.services import Services
from functions.swap.upload_outcomes import MAX_TRIES, UploadOutcomes
from layers.core.deadline import Deadline
from layers.core.errors import AtCapacity, ColdswapError, InternalError, NotFound, OutOfTime, family
from layers.core.telemetry import correlate, count_fault, emit, logger

if TYPE_CHECKING:
    from functions.swap.swap_records import SwapRecord

_TIMEOUTS = ("Sandbox.Timedout", "States.Timeout")


def end(services: Services, name: str, error: ColdswapError, deadline: Deadline) -> None:
    """Record why the swap or listing with that id failed, unless it is over; what was made for it is deleted.

    Of an upload, the reason is written to failed/NAME.json. Raises StorageFailed.
    """
    record = services.records.find(name)
    if record is not None and record.status in ("queued", "running"):
        upload = record.moving.upload if record.moving else None
        if upload and results.is_current(upload, services.storage, services.settings):
            outcomes = UploadOutcomes(services.storage, services.settings.outputs_bucket)
            instance = f"urn:coldswap:request:{name}"  # the id is in the log
            outcomes.add_problem(upload.name, error, upload.facts, instance=instance, tries=MAX_TRIES)
        services.records.fail(name, type(error).__name__, error.detail)
        emit({"Failed": 1})
        count_fault(error, raised_here=False)
        logger().warning("moving meme failed", extra={"swap": name, "code": error.code, "detail": error.detail})
    clear(services, name, record, deadline)


def clear(services: Services, name: str, record: SwapRecord | None, deadline: Deadline) -> None:
    """Delete the work files, and the result where it is no longer wanted. Raises StorageFailed."""
    from functions.swap.moving import steps

    steps.discard(name, services.context(deadline))
    if record is None:
        results.delete_picture(name, services.storage, services.settings)


def settle(services: Services, event: Mapping[str, Any], deadline: Deadline) -> None:
    """Do for an execution that ended badly what its workflow has not done itself, by EventBridge's event."""
    detail = event["detail"]
    # EventBridge leaves an input out that is too large for it, which no queued swap's is (Step Functions' developer
    # guide, "EventBridge payloads").
    name = find_name(json.loads(detail.get("input") or "null"), str(detail["executionArn"]))
    correlate(name, name)
    match detail["status"]:
        case "TIMED_OUT":
            error: ColdswapError = OutOfTime("The moving meme took longer than the workflow is allowed to.")
        case "ABORTED":
            error = NotFound("The workflow was stopped.")
        case _:
            error = name_failure(str(detail.get("error") or ""), str(detail.get("cause") or ""))
    end(services, name, error, deadline)


def find_name(input: Any, execution: str) -> str:
    """The id of the work of an execution with that input: what was queued, or what the execution was started with."""
    return str(input["swap"]) if isinstance(input, dict) and "swap" in input else name_work(execution)


def name_failure(name: str, cause: str) -> ColdswapError:
    """The error for a workflow's error name; the cause is Lambda's JSON with the message, or the sentence itself.

    Only errors of the family keep their message; that of any other may hold what nobody should read.
    """
    kind = family().get(name)
    if kind is None or kind is InternalError:
        if name in _TIMEOUTS:
            return OutOfTime("A step took longer than it is allowed to.")
        if name == "Lambda.TooManyRequestsException":
            return AtCapacity("There was no capacity for longer than a step waits. Try again later.")
        return InternalError(f"A step ended with {name[:100] or 'no reason'}. The log has the details.")
    sentence: Any = cause
    with contextlib.suppress(ValueError):
        document = json.loads(cause)
        sentence = document.get("errorMessage") if isinstance(document, dict) else ""
    return kind(str(sentence) if sentence else None)
