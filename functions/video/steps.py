"""The workflow's steps, each in its own invocation: small keys in, small keys out, files in the artifact store."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.services import SCRATCH, Services, deadline
from functions.video.tasks.lifecycle import end, workflow_error
from functions.video.tasks.store import Task
from functions.video.values import Clip, Plan, SearchResult, VoiceOver, frame_size
from layers.core.deadline import Deadline
from layers.core.errors import Cancelled, ColdswapError, InternalError, InvalidRequest, StorageFailed
from layers.core.machine import children_peak_memory_mb
from layers.core.scratch_folders import scratch_folder
from layers.core.telemetry import correlate, count_fault, emit, is_cold_start, logger, memory_percent, peak_memory_mb

Payload = Mapping[str, Any]


def run(payload: Payload, context: Any, services: Services) -> dict[str, Any]:
    """The output of the step that the payload names. Raises Cancelled if the task is over, and the step's own errors.

    The workflow knows an error by its class name, keeps its message for 90 days, and never sees a script, a query, a
    URL or a key: an unexpected exception, whose message may hold anything, becomes an InternalError.
    """
    name, task_id = str(payload.get("step")), str(payload.get("task_id"))
    correlate(task_id, context.aws_request_id)
    began, cpu = time.perf_counter(), _cpu_seconds()
    output: dict[str, Any] = {}
    error_name = ""
    try:
        output = _run_step(name, payload, task_id, services, deadline(context))
    except ColdswapError as error:
        error_name = type(error).__name__
        count_fault(error, ended=False)  # whether the video fails is seen where its workflow ends
        logger().warning(
            "step failed", extra={"step": name, "task_id": task_id, "error": error_name, "detail": error.detail}
        )
        raise
    except Exception as error:
        error_name = type(error).__name__
        count_fault(error, ended=False)
        trace = traceback.format_tb(error.__traceback__)
        logger().error("step broke", extra={"step": name, "task_id": task_id, "error": error_name, "trace": trace})
        raise InternalError(f"A step ended with {error_name}. The log has the details.") from None
    finally:
        measures = {
            "ms": round((time.perf_counter() - began) * 1000),
            "cpu_s": round(_cpu_seconds() - cpu, 2),
            "peak_memory_mb": peak_memory_mb(),
            "encoder_peak_memory_mb": children_peak_memory_mb(),  # of the largest ffmpeg that this sandbox ever ran
            "bytes_fetched": output.pop("bytes_fetched", 0),
            "cold_start": int(is_cold_start()),
        }
        emit(memory_percent(measures["peak_memory_mb"], measures["encoder_peak_memory_mb"]))
        logger().info("step", extra={"step": name, "task_id": task_id, "failed": int(bool(error_name)), **measures})
    return output


def _run_step(name: str, payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    if name in OUTCOME_STEPS:
        return OUTCOME_STEPS[name](payload, task_id, services, until)
    if name in PRODUCTION_STEPS:
        return _produce(name, payload, task_id, services, until)
    raise InvalidRequest(f"There is no step {name[:40]!r}.")


def _produce(name: str, payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    if name == "publish":
        # The response of a first attempt that succeeded may have been lost.
        finished = services.tasks.find(task_id)
        if finished is not None and finished.status == "succeeded":
            return _notify_if_awaited(finished)
    task = services.tasks.enter(task_id)
    if not services.slots.renew(task_id):
        # The lease ran out between two attempts and another task has the slot: what was paid for is made nevertheless.
        logger().warning("lease lost", extra={"task_id": task_id})
    artifacts = services.artifacts.track(task.caller)
    try:
        with scratch_folder(SCRATCH) as folder:
            context = StepContext(services, artifacts, until, task=task, folder=folder)
            return PRODUCTION_STEPS[name](payload, context)
    except Cancelled:
        _keep_or_discard(task_id, artifacts, services)
        with suppress(StorageFailed):  # its lease ends by itself
            services.slots.free(task_id)  # which was kept for this step
        raise
    except Exception:
        _keep_or_discard(task_id, artifacts, services)
        raise


def _keep_or_discard(task_id: str, artifacts: ArtifactStore, services: Services) -> None:
    """Give a failed step's artifacts to its task, which deletes them in time; delete them if the task was deleted."""
    try:
        if artifacts.used and not services.tasks.keep_artifacts(task_id, artifacts.used):
            artifacts.discard()
    except ColdswapError as error:  # the step's own error says more; what is left expires
        logger().warning("artifacts left behind", extra={"task_id": task_id, "detail": error.detail})


def _voice(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.providers.choice import choose_voice, voice_service
    from functions.video.providers.keys import read_keys
    from functions.video.render import own_voice, voice_over

    task, keys = context.task, read_keys(context.settings.provider_keys)
    if task.request.voice_uri:
        key = own_voice.make(task.request.voice_uri, context)
        context.mark_done("voice")
        return {"voice": key}
    service = voice_service(context.services, keys, task.caller)
    voice_id = choose_voice(keys, task.request.voice_id, task.request.script_text)
    key = voice_over.make(voice_id, service, context)
    context.mark_done("voice")
    return {"voice": key}


def _footage(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.providers.choice import footage_service
    from functions.video.providers.keys import read_keys
    from functions.video.render import footage

    task, keys = context.task, read_keys(context.settings.provider_keys)
    service = footage_service(context.services, keys, task.caller) if task.request.needs_footage else None
    key = footage.find(task.request, service, context)
    context.mark_done("footage")
    return {"found": key}


def _plan(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.render import font_files
    from functions.video.render.caption_design import design_for
    from functions.video.render.caption_drawing import fit_design
    from functions.video.render.own_font import load_own_face
    from functions.video.render.plan import lay_out
    from functions.video.render.typesetting import typeset

    request, voice = context.task.request, context.read(payload["voice"], VoiceOver)
    width, height = frame_size(request.aspect, request.resolution)
    plan = replace(lay_out(voice, context.read(payload["found"], SearchResult)), width=width, height=height)
    if request.captions:
        design = design_for(request.caption_style, plan.width, plan.height)
        own = load_own_face(context.services, context.deadline, request.caption_style.font)
        font_files.prepare(typeset((word.text for word in fit_design(voice.words, design)), own), context)
    key = context.artifacts.key("plan", "json", plan)
    context.artifacts.put(key, plan)
    context.mark_done("plan", clips=len(plan.segments))
    return {"voice": payload["voice"], "plan": key, "segments": [segment.index for segment in plan.segments]}


def _clip(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.render import clip

    plan = context.read(payload["plan"], Plan)
    segment = plan.segments[int(payload["index"])]
    key = clip.make(segment, plan, context.read(payload["voice"], VoiceOver), context)
    bytes_fetched = context.read(key, Clip).bytes_fetched
    context.mark_done(f"clip#{segment.index}")
    return {"clip": key, "bytes_fetched": bytes_fetched}


def _sound(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.render import assemble

    key = assemble.make_sound(context.read(payload["voice"], VoiceOver), context)
    context.mark_done("sound")
    return {"sound": key}


def _assemble(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.render import assemble

    clips = [context.read(key, Clip) for key in payload["clips"]]
    plan, voice = context.read(payload["plan"], Plan), context.read(payload["voice"], VoiceOver)
    # An execution that was started before an update names no sound.
    key = assemble.join(plan, clips, voice, context, payload.get("sound"))
    context.mark_done("assemble")
    return {"video": key}


def _publish(payload: Payload, context: StepContext) -> dict[str, Any]:
    from functions.video.publish import publish

    clips = [context.read(key, Clip) for key in payload["clips"]]
    plan, voice = context.read(payload["plan"], Plan), context.read(payload["voice"], VoiceOver)
    return _notify_if_awaited(publish(str(payload["video"]), plan, clips, voice, context))


def _notify_if_awaited(task: Task | None) -> dict[str, Any]:
    from functions.video.callback import awaits_callback

    return {"notify": task is not None and awaits_callback(task)}


def _fail(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    error = workflow_error(str(payload.get("error") or ""), str(payload.get("cause") or ""))
    try:
        task: Task | None = end(task_id, "failed", error, services)
    except Cancelled:
        task = services.tasks.find(task_id)  # cancelled, or failed by a first attempt whose response was lost
    return {"error": type(error).__name__, "cause": error.detail, **_notify_if_awaited(task)}


def _notify(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    from functions.video.callback import attempt, awaits_callback

    task = services.tasks.find(task_id)
    if task is None or not awaits_callback(task):  # it was deleted meanwhile
        return {"notify": False}
    return attempt(task, int(payload["attempt"]), services, until)


# Steps that make something for a task that is not over.
PRODUCTION_STEPS: dict[str, Callable[[Payload, StepContext], dict[str, Any]]] = {
    "voice": _voice,
    "footage": _footage,
    "plan": _plan,
    "clip": _clip,
    "sound": _sound,
    "assemble": _assemble,
    "publish": _publish,
}
# Steps that record or report how a task ended.
OUTCOME_STEPS: dict[str, Callable[[Payload, str, Services, Deadline], dict[str, Any]]] = {
    "fail": _fail,
    "notify": _notify,
}


def _cpu_seconds() -> float:
    """CPU time of this process and of the children that it has waited for."""
    return sum(os.times()[:4])
