"""The Lambda handler: thin entries (HTTP, S3 upload, workflow task, workflows that failed, warm-ups)."""

from __future__ import annotations

import os
import traceback
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any

from functions.swap.services import SCRATCH, Services, deadline, services
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, InternalError, NotFound, family
from layers.core.ids import new_id
from layers.core.scratch_folders import sweep
from layers.core.telemetry import correlate, count_fault, logger
from layers.core.warm_up import is_warm_up

ENDED = "Step Functions Execution Status Change"


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """An HTTP API event (payload format 2.0), S3 event records, a workflow task's payload, an EventBridge event, or a
    warm-up.

    HTTP is always answered. An upload raises what a retry can cure. A task raises every error, so that its class name
    is the error's name in the state machine.
    """
    correlate(context.aws_request_id, context.aws_request_id)
    try:
        return _enter(event, context)
    except ColdswapError as error:
        if is_warm_up(event):
            count_fault(error)
        raise  # others are counted where it is known whether something ends with them
    except Exception as error:
        count_fault(error, ended=not _is_queued(event))
        raise


def _enter(event: Any, context: Any) -> dict[str, Any] | None:
    found = services()
    if is_warm_up(event):
        from functions.swap.warm_up import warm

        return warm(found)
    if not isinstance(event, dict):
        return task(event, context, found)
    if "http" in event.get("requestContext", {}):
        from functions.swap.entry import http_api

        return http_api.handle(event, context, found)
    if event.get("Event") == "s3:TestEvent":
        return None
    if "Records" in event:
        from functions.swap.entry import s3_upload

        return s3_upload.handle(event, context, found)
    if event.get("detail-type") == ENDED:
        ended(event, context)
        return None
    return task(event, context, found)


def task(payload: Any, context: Any, found: Services) -> dict[str, Any]:
    """A request's JSON in, the result's out; of a swap that POST /swap queued, its id in and out."""
    try:
        return _task(payload, context, found)
    except ColdswapError as error:
        count_fault(error, ended=not error.retryable and not _is_queued(payload))
        logger().warning("task failed", extra={"code": error.code, "detail": error.detail})
        raise
    except Exception as error:
        # Its message may hold anything, and an execution's history keeps it for 90 days.
        where = traceback.format_tb(error.__traceback__)
        logger().error("task broke", extra={"error": type(error).__name__, "trace": where})
        broken = InternalError(f"The swap ended with {type(error).__name__}. The log has more.")
        count_fault(broken, ended=not _is_queued(payload))
        raise broken from None


def _task(payload: Any, context: Any, found: Services) -> dict[str, Any]:
    from functions.swap.entry.schemas import QueuedBody, parse_task

    body = parse_task(payload)
    if isinstance(body, QueuedBody):
        correlate(body.swap, context.aws_request_id)
        return queued(body.swap, found, deadline(context))
    key = body.key or f"swaps/{new_id()}"
    unnamed = not PurePosixPath(key).suffix
    return asdict(found.swap(body.request(), key=key, add_extension=unnamed, deadline=deadline(context)).result)


def _is_queued(event: Any) -> bool:
    """Whether it is a task of the stack's own workflow, whose end `ended` counts."""
    return isinstance(event, dict) and "swap" in event


def ended(event: dict[str, Any], context: Any) -> None:
    """Count the fault with which an execution of the stack's own workflow ended; also one that no function saw."""
    name = str(event["detail"].get("error"))
    correlate(str(event["detail"].get("name")), context.aws_request_id)
    logger().error("workflow failed", extra={"error": name})
    count_fault(family().get(name, InternalError)(), raised_here=False)


def queued(name: str, found: Services, within: Deadline) -> dict[str, Any]:
    """Do what the ledger has under that id, unless it is done. Raises NotFound where it was deleted meanwhile."""
    from functions.swap import results
    from functions.swap.values import SwapRequest

    entry = found.ledger.begin(name)
    if entry is not None and entry.status == "succeeded":
        return {"swap": name}
    if entry is None or entry.request is None:
        results.remove_picture(name, found.storage, found.settings)  # of a try that was killed after it wrote
        raise NotFound("This swap is deleted, or was never asked for.")
    request = SwapRequest(**{**entry.request, "caller": entry.caller, "queued": name})
    swapped = found.swap(request, key=f"swaps/{name}", add_extension=True, deadline=within)
    if not found.ledger.finish(name, results.kept(asdict(swapped.result)), swapped.latent):
        results.remove_picture(name, found.storage, found.settings)
        raise NotFound("This swap was deleted while it was made.")
    return {"swap": name}


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # What every request needs is made while Lambda initialises, with a whole processor whatever MemorySize gives later.
    services()
    sweep(SCRATCH)
