"""The Lambda handler of moving memes: thin entries for the workflow's steps, workflows that ended, and warm-ups."""

from __future__ import annotations

import os
from typing import Any

from functions.swap.services import SCRATCH, deadline, load_services
from layers.core.errors import ColdswapError
from layers.core.scratch_folders import sweep
from layers.core.telemetry import correlate, count_fault
from layers.core.warm_up import is_warm_up

EXECUTION_EVENT = "Step Functions Execution Status Change"  # EventBridge's detail-type


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """Handle a step's payload, an EventBridge event or a warm-up.

    A step raises its errors, which the workflow knows by their class names. An event that cannot be handled raises, so
    that Lambda retries it and keeps it in the end.
    """
    correlate(context.aws_request_id, context.aws_request_id)
    services = load_services()
    if is_warm_up(event):
        from functions.swap.warm_up import warm_steps

        try:
            return warm_steps(services, deadline(context))
        except ColdswapError as error:
            count_fault(error)
            raise
    if event.get("detail-type") == EXECUTION_EVENT:
        from functions.swap.moving_end import settle

        settle(services, event, deadline(context))
        return None
    from functions.swap.moving_run import run

    return run(services, event, context)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # Made while Lambda initialises the sandbox, with a whole processor whatever MemorySize gives later.
    load_services()
    sweep(SCRATCH)
