"""The Lambda handler: thin entries for HTTP, the workflow's steps, executions that ended, and warm-ups."""

from __future__ import annotations

import json
import os
from typing import Any

from functions.video.services import SCRATCH, Services, deadline, load_services
from layers.core.errors import ColdswapError
from layers.core.scratch_folders import sweep
from layers.core.telemetry import correlate, count_fault
from layers.core.warm_up import is_warm_up

EXECUTION_ENDED = "Step Functions Execution Status Change"


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """An HTTP API event (payload format 2.0), a step's payload, an EventBridge event, or a warm-up.

    HTTP always gets a response. A step raises its errors, which the workflow knows by their class names. An event that
    cannot be handled raises, so that Lambda retries it and keeps it in the end.
    """
    correlate(context.aws_request_id, context.aws_request_id)
    try:
        return _enter(event, context)
    except ColdswapError as error:
        if is_warm_up(event):
            count_fault(error)
        raise  # other errors are counted where it is known whether they end something
    except Exception as error:
        count_fault(error)
        raise


def _enter(event: Any, context: Any) -> dict[str, Any] | None:
    services = load_services()
    if is_warm_up(event):
        from functions.video.warm_up import warm

        return warm(services, deadline(context))
    if "http" in event.get("requestContext", {}):
        from functions.video.entry import http_api

        return http_api.handle(event, context, services)
    if event.get("detail-type") == EXECUTION_ENDED:
        settle(event, context, services)
        return None
    from functions.video import steps

    return steps.run(event, context, services)


def settle(event: dict[str, Any], context: Any, services: Services) -> None:
    """Update the task of an execution that ended without doing so itself; its caller gets one callback."""
    from functions.video.callback import WAITS, attempt, awaits_callback
    from functions.video.tasks.lifecycle import settle_task

    correlate(str(json.loads(event["detail"]["input"])["task_id"]), context.aws_request_id)
    task = settle_task(event, services)
    if task is not None and awaits_callback(task):
        # As the last attempt: nothing here waits for another.
        attempt(task, len(WAITS) + 1, services, deadline(context))


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    sweep(SCRATCH)
