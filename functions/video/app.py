"""The Lambda handler: thin entries (HTTP, the workflow's steps, executions that ended, warm-ups)."""

from __future__ import annotations

import json
import os
from typing import Any

from functions.video.services import SCRATCH, Services, deadline, services
from layers.core.errors import ColdswapError
from layers.core.scratch_folders import sweep
from layers.core.telemetry import correlate, count_fault
from layers.core.warm_up import is_warm_up

ENDED = "Step Functions Execution Status Change"


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """An HTTP API event (payload format 2.0), a step's payload, an EventBridge event, or a warm-up.

    HTTP is always answered. A step raises its errors, whose class names the workflow knows. An event that cannot be
    dealt with raises, so that Lambda tries again and keeps it in the end.
    """
    correlate(context.aws_request_id, context.aws_request_id)
    try:
        return _enter(event, context)
    except ColdswapError as error:
        if is_warm_up(event):
            count_fault(error)
        raise  # others are counted where it is known whether something ends with them
    except Exception as error:
        count_fault(error)
        raise


def _enter(event: Any, context: Any) -> dict[str, Any] | None:
    found = services()
    if is_warm_up(event):
        from functions.video.warm_up import warm

        return warm(found, deadline(context))
    if "http" in event.get("requestContext", {}):
        from functions.video.entry import http_api

        return http_api.handle(event, context, found)
    if event.get("detail-type") == ENDED:
        ended(event, context, found)
        return None
    from functions.video import steps

    return steps.run(event, context, found)


def ended(event: dict[str, Any], context: Any, found: Services) -> None:
    """Bring up to date the task of an execution that ended without doing so itself; who asked gets one callback."""
    from functions.video.callback import WAITS, attempt, wanted
    from functions.video.tasks.lifecycle import settle

    correlate(str(json.loads(event["detail"]["input"])["task_id"]), context.aws_request_id)
    task = settle(event, found)
    if task is not None and wanted(task):
        # The last try of all: nobody waits here for another.
        attempt(task, len(WAITS) + 1, found, deadline(context))


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    sweep(SCRATCH)
