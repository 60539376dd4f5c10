"""The steps of the workflow for moving memes: ids and numbers in and out, files in the outputs bucket."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from functions.swap import results
from functions.swap.context import SwapContext
from functions.swap.moving_end import clear, end, find_name, name_failure
from functions.swap.moving_state import Stage
from functions.swap.moving_submission import queue_task
from functions.swap.services import Services, deadline, record_swap
from functions.swap.swap_records import SwapRecord
from functions.swap.upload_outcomes import UploadOutcomes
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, InternalError, InvalidRequest, NotFound
from layers.core.telemetry import correlate, count_fault, emit, logger, memory_percent, peak_memory_mb

if TYPE_CHECKING:
    from functions.swap.moving.job import MovingJob

Payload = Mapping[str, Any]
STACK = "stack"  # who counts as the caller of what has none
AUDIT = "moving meme swapped"  # name of the log line, whose times are no still's
SHORT_CHUNKS = 1  # that one execution swaps before it composes: more would wait for each other
STAGES: dict[str, Stage] = {"analyse": "analysing", "swap": "swapping", "compose": "composing"}


def run(services: Services, payload: Payload, context: Any) -> dict[str, Any]:
    """The output of the step that the payload names.

    Raises NotFound if the swap was deleted, and the step's own errors. An unexpected exception, whose message may hold
    anything and would be kept for 90 days, becomes an InternalError.
    """
    step = str(payload.get("step"))
    if step not in STEPS:
        raise InvalidRequest(f"There is no step {step[:40]!r}.")
    until = deadline(context)
    began = time.perf_counter()
    name = ""
    try:
        name = _register(services, payload)
        correlate(name, context.aws_request_id)
        with _share(services, step, name):
            return STEPS[step](services, name, payload, services.context(until))
    except ColdswapError as error:
        count_fault(error, ended=False)  # whether the swap fails is seen where its workflow ends
        logger().warning("step failed", extra={"step": step, "swap": name, "code": error.code, "detail": error.detail})
        if isinstance(error, NotFound) and name:
            _clear_unwanted(services, name, until)
        raise
    except Exception as error:
        count_fault(error, ended=False)
        kind, trace = type(error).__name__, traceback.format_tb(error.__traceback__)
        logger().error("step broke", extra={"step": step, "swap": name, "error": kind, "trace": trace})
        raise InternalError(f"A step ended with {kind}. The log has the details.") from None
    finally:
        milliseconds = round((time.perf_counter() - began) * 1000)
        emit(memory_percent(peak_memory_mb()))
        logger().info("moving step", extra={"step": step, "swap": name, "ms": milliseconds})
        if name and step != "fail":
            services.records.add_compute(name, milliseconds)
        if services.settings.model_retention == "request":
            services.models.release()


def _share(services: Services, step: str, name: str) -> AbstractContextManager[None]:
    """Count a step among its caller's while it runs; uploads and workflows together are as one caller.

    Raises AtCapacity where the caller has its share. Recording why a workflow failed waits for nobody.
    """
    if step == "fail":
        return contextlib.nullcontext()
    record = services.records.find(name)
    return services.step_sandboxes.share((record and record.caller) or STACK)


def _clear_unwanted(services: Services, name: str, until: Deadline) -> None:
    """Delete what a step wrote after its swap was deleted or had failed."""
    with contextlib.suppress(ColdswapError):  # the first error is the one to raise
        record = services.records.find(name)
        if record is None or record.status == "failed":
            clear(services, name, record, until)


def _register(services: Services, payload: Payload) -> str:
    """The id of the work; the request with which somebody started the workflow themselves is recorded first."""
    if "swap" in payload:
        return str(payload["swap"])
    started, execution = payload.get("input"), str(payload.get("execution"))
    if payload["step"] == "analyse" and not (isinstance(started, dict) and "swap" in started):
        from functions.swap.entry.schemas import TaskBody, parse_task

        body = parse_task(started)
        assert isinstance(body, TaskBody)
        return queue_task(services, body.request(), body.key, execution)
    return find_name(started, execution)


def _analyse(services: Services, name: str, payload: Payload, context: SwapContext) -> dict[str, Any]:
    """Find the people, and say what remains: `swap` in chunks, `finish` in one execution, or nothing."""
    from functions.swap.moving import steps

    record = _begin(services, name)
    if record.status == "succeeded":
        return {"swap": name, "next": "over", "result": {"swap": name}}
    job = _job(services, record)
    services.records.report(name, "analysing")
    if record.kind == "faces":
        listing = asdict(steps.list_people(job, context))
        if not services.records.finish(name, listing, frozenset()):
            raise NotFound("This listing was deleted while it was in progress.")
        clear(services, name, record, context.deadline)
        return {"swap": name, "next": "over", "result": {"swap": name}}
    summary = steps.analyse(job, context)
    services.records.start_swapping(name, summary.face_frames)
    what = "finish" if summary.chunks <= SHORT_CHUNKS else "swap"
    return {"swap": name, "next": what, "chunks": list(range(summary.chunks))}


def _swap(services: Services, name: str, payload: Payload, context: SwapContext) -> dict[str, Any]:
    from functions.swap.moving import steps

    number = int(payload["chunk"])
    summary = steps.swap_chunk(_job(services, _begin(services, name)), context, number)
    services.records.add_chunk(name, number, summary.face_frames)
    return {"face_frames": summary.face_frames}


def _finish(services: Services, name: str, payload: Payload, context: SwapContext) -> dict[str, Any]:
    """Swap the few chunks there are, and compose, in one execution."""
    from functions.swap.moving import steps

    record = _begin(services, name)
    if record.status != "succeeded":
        summary = steps.analyse(_job(services, record), context)  # it is there already
        for number in range(summary.chunks):
            _swap(services, name, {"chunk": number}, context)
    return _compose(services, name, payload, context)


def _compose(services: Services, name: str, payload: Payload, context: SwapContext) -> dict[str, Any]:
    from functions.swap.moving import steps

    record = _begin(services, name)
    if record.status == "succeeded":
        return _settle(services, record, record.result or {}, context)
    upload, key = _upload(record), record.moving.key if record.moving else ""
    services.records.report(name, "composing")
    if upload and not results.is_current(upload, services.storage, services.settings):
        raise NotFound("The upload was replaced or deleted while it was being swapped.")
    add_extension = upload is None and not PurePosixPath(key).suffix
    job = _job(services, record)
    outcome = steps.compose(job, context, key=key or f"swaps/{name}", add_extension=add_extension)
    record_swap(job.request, outcome.result, AUDIT)  # rather twice than, where this is killed, never
    result = results.strip_link(asdict(outcome.result))
    if not services.records.finish(name, result, outcome.latent_keys):
        raise NotFound("This swap was deleted while it was in progress.")
    return _settle(services, record, result, context)


def _settle(services: Services, record: SwapRecord, result: Mapping[str, Any], context: SwapContext) -> dict[str, Any]:
    """Tell an uploader of the result, and delete the work files: also where an earlier try was killed before it did."""
    upload = _upload(record)
    if upload and results.is_current(upload, services.storage, services.settings):
        from functions.swap.entry.swap_answer import arrange_result

        outcomes = UploadOutcomes(services.storage, services.settings.outputs_bucket)
        outcomes.add_result(upload.name, {**arrange_result(result), **upload.facts})
    clear(services, record.id, record, context.deadline)
    return _output(record, result)


def _fail(services: Services, name: str, payload: Payload, context: SwapContext) -> dict[str, Any]:
    """Record why the workflow failed; the error's name and sentence, with which it ends."""
    error = name_failure(str(payload.get("error")), str(payload.get("cause")))
    end(services, name, error, context.deadline)
    return {"error": type(error).__name__, "cause": error.detail}


STEPS: dict[str, Callable[[Services, str, Payload, SwapContext], dict[str, Any]]] = {
    "analyse": _analyse,
    "swap": _swap,
    "finish": _finish,
    "compose": _compose,
    "fail": _fail,
}


def _begin(services: Services, name: str) -> SwapRecord:
    """The record of the work, which is under way or done. Raises NotFound if it was deleted or has failed."""
    record = services.records.begin(name)
    if record is None or record.status not in ("running", "succeeded"):
        raise NotFound("There is no such swap, or it was deleted.")
    return record


def _job(services: Services, record: SwapRecord) -> MovingJob:
    from functions.swap.moving.job import MovingJob
    from functions.swap.moving.job import Stage as StepStage

    name, stored = record.id, dict(record.request or {})

    def is_wanted() -> bool:
        current = services.records.find(name)
        return current is not None and current.status in ("queued", "running")

    def report(stage: StepStage, done: int, total: int) -> None:
        if stage != "swap":  # whose chunks run side by side, and are counted when they are done
            services.records.report(name, STAGES[stage], done, total)

    request = replace(SwapRequest(**stored), caller=record.caller or None, queued=name)
    return MovingJob(name, request, is_wanted=is_wanted, report=report)


def _upload(record: SwapRecord) -> Any:
    return record.moving.upload if record.moving else None


def _output(record: SwapRecord, result: Mapping[str, Any]) -> dict[str, Any]:
    """What the workflow ends with: the whole result for who started it themselves, the id for others, who ask the API.

    An execution's history is kept for 90 days.
    """
    is_own = not record.caller and _upload(record) is None
    return dict(result) if is_own else {"swap": record.id}
