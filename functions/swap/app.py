"""The Lambda handler: thin entries for HTTP, S3 uploads, workflow tasks, failed workflows and warm-ups."""

from __future__ import annotations

import os
import traceback
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from layers.core.cpu_count import VCPU_MB
from layers.core.errors import ColdswapError, InternalError, family
from layers.core.ids import new_id
from layers.core.telemetry import correlate, count_fault, logger
from layers.core.warm_up import is_warm_up

if TYPE_CHECKING:
    from functions.swap.services import Services
    from layers.models.runtime.loaded_models import LoadedModels

EXECUTION_EVENT = "Step Functions Execution Status Change"  # EventBridge's detail-type


def handler(event: Any, context: Any) -> dict[str, Any] | None:
    """Handle an HTTP API event (payload format 2.0), S3 event records, a workflow task's payload, an EventBridge event
    or a warm-up.

    HTTP always gets a response. An upload raises the errors that a retry can cure. A task raises every error, so that
    its class name is the error's name in the state machine.
    """
    if (response := _answer_page(event)) is not None:
        return response
    models = None
    try:
        models = _anticipate(event, context)
        correlate(context.aws_request_id, context.aws_request_id)
        return _dispatch(event, context)
    except ColdswapError as error:
        if is_warm_up(event):
            count_fault(error)
        raise  # the entries count the others: they know whether something ends with them
    except Exception as error:
        count_fault(error, ended=not _is_queued(event))
        raise
    finally:
        if models and (bytes_wasted := models.drop_anticipated()):
            logger().info("no models needed", extra={"bytes_in_vain": bytes_wasted})


def _anticipate(event: Any, context: Any) -> LoadedModels | None:
    """The models, which are being fetched from now on if this is probably a swap that this stack's engine makes.

    What reads a request takes a cold start longer to import than it waits for anything but the models.
    """
    if not _is_swap(event):
        return None
    from functions.swap.services import deadline

    services = load_services()
    if services.settings.remote_swapper:
        return None
    services.models.anticipate_swap(deadline(context))
    return services.models


def _is_swap(event: Any) -> bool:
    """Whether an event asks for a swap to be made now, as far as its outside tells."""
    if not isinstance(event, dict) or is_warm_up(event) or "detail-type" in event or "step" in event:
        return False
    if "http" not in event.get("requestContext", {}):
        return event.get("Event") != "s3:TestEvent"
    is_post = (event["requestContext"]["http"].get("method"), event.get("rawPath")) == ("POST", "/swap")
    return is_post and "prefer" not in {name.lower() for name in event.get("headers", {})}


def _answer_page(event: Any) -> dict[str, Any] | None:
    """The answer where somebody asks for the page; before all else, since it needs nothing of what the API does."""
    if not isinstance(event, dict) or "http" not in event.get("requestContext", {}):
        return None
    from functions.swap.entry.page import answer_page

    return answer_page(event)


def _dispatch(event: Any, context: Any) -> dict[str, Any] | None:
    services = load_services()
    services.storage.connect()
    if is_warm_up(event):
        from functions.swap.warm_up import warm

        return warm(services)
    if not isinstance(event, dict):
        return handle_task(event, context, services)
    if "http" in event.get("requestContext", {}):
        from functions.swap.entry import http_api

        return http_api.handle(event, context, services)
    if event.get("Event") == "s3:TestEvent":
        return None
    if "Records" in event:
        from functions.swap.entry import s3_upload

        return s3_upload.handle(event, context, services)
    if event.get("detail-type") == EXECUTION_EVENT:
        if event["detail"].get("stateMachineArn") == services.settings.batch_machine_arn:
            from functions.swap.batch.steps import settle

            settle(services, event["detail"])
        else:
            count_failed_execution(event, context)
        return None
    return handle_task(event, context, services)


def handle_task(payload: Any, context: Any, services: Services) -> dict[str, Any]:
    """Do a workflow task: a request's JSON in, the result's out; for a swap that POST /swap queued, its id."""
    try:
        return _run_task(payload, context, services)
    except ColdswapError as error:
        count_fault(error, ended=not error.retryable and not _is_queued(payload))
        logger().warning("task failed", extra={"code": error.code, "detail": error.detail})
        raise
    except Exception as error:
        # Its message may contain anything, and an execution's history keeps it for 90 days.
        trace = traceback.format_tb(error.__traceback__)
        logger().error("task broke", extra={"error": type(error).__name__, "trace": trace})
        failure = InternalError(f"The swap failed with {type(error).__name__}. See the log.")
        count_fault(failure, ended=not _is_queued(payload))
        raise failure from None


def load_services() -> Services:
    """The sandbox's services, not connected yet; the page needs none of what they import."""
    from functions.swap import services

    return services.make_services()


def _run_task(payload: Any, context: Any, services: Services) -> dict[str, Any]:
    from functions.swap.services import deadline

    if isinstance(payload, dict) and "step" in payload:
        from functions.swap.batch import steps

        return steps.run(services, payload, deadline(context))
    from functions.swap.entry.schemas import QueuedBody, parse_task
    from functions.swap.entry.swap_answer import arrange_result

    body = parse_task(payload)
    if isinstance(body, QueuedBody):
        from functions.swap.submission import swap_queued

        correlate(body.swap, context.aws_request_id)
        swap_queued(services, body.swap, deadline(context))
        return {"swap": body.swap}
    key = body.key or f"swaps/{new_id()}"
    has_extension = bool(PurePosixPath(key).suffix)
    outcome = services.swap(body.request(), key=key, add_extension=not has_extension, deadline=deadline(context))
    return arrange_result(asdict(outcome.result))


def _is_queued(event: Any) -> bool:
    """Whether it is a task of the stack's own workflows, whose failure is counted where they end."""
    return isinstance(event, dict) and ("swap" in event or "step" in event)


def count_failed_execution(event: dict[str, Any], context: Any) -> None:
    """Count the fault with which an execution of the stack's own workflow ended, even if no function saw it."""
    name = str(event["detail"].get("error"))
    correlate(str(event["detail"].get("name")), context.aws_request_id)
    logger().error("workflow failed", extra={"error": name})
    count_fault(family().get(name, InternalError)(), raised_here=False)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # Made while Lambda initialises the sandbox, with a whole processor whatever MemorySize gives later.
    from functions.swap.moving.job import SCRATCH as MOVING_SCRATCH
    from functions.swap.services import SCRATCH
    from layers.core.scratch_folders import sweep

    if load_services().settings.memory_mb < VCPU_MB:
        load_services().storage.connect()  # larger ones do it while the models arrive
    sweep(SCRATCH)
    sweep(MOVING_SCRATCH)
