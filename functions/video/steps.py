"""The workflow's steps, each in an invocation of its own: small keys in, small keys out, files in the work store."""

from __future__ import annotations

import os
import resource
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.video.artifacts import ArtifactStore
from functions.video.services import SCRATCH, Services, deadline
from functions.video.tasks.lifecycle import ended, failure
from functions.video.tasks.store import Task
from functions.video.values import Clip, Plan, SearchResult, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import Cancelled, ColdswapError, InternalError, InvalidRequest, StorageFailed
from layers.core.scratch_folders import scratch_folder
from layers.core.telemetry import cold, correlate, count_fault, emit, logger, memory_percent, peak_memory_mb

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One step at work: its task as it was when it began, the work store, and a folder that is gone afterwards."""

    task: Task
    services: Services
    work: ArtifactStore
    folder: Path
    deadline: Deadline

    def get(self, key: Any, kind: type[Any]) -> Any:
        """What an earlier step made."""
        return self.work.get(str(key), kind, self.deadline)

    def mark_done(self, name: str, clips: int | None = None) -> None:
        """Mark it done. Raises Cancelled if the task is over."""
        self.services.tasks.step_done(self.task.id, name, self.work.used, clips)


def run(payload: Payload, context: Any, services: Services) -> dict[str, Any]:
    """What the step named in the payload gives. Raises Cancelled if the task is over, and what the step raises.

    The workflow knows an error by its class name, keeps its message for 90 days, and never sees a script, a query, a
    URL or a key: what nobody foresaw, whose message may hold anything, is an InternalError.
    """
    name, task_id = str(payload.get("step")), str(payload.get("task_id"))
    correlate(task_id, context.aws_request_id)
    began, cpu = time.perf_counter(), _cpu_seconds()
    result: dict[str, Any] = {}
    failed = ""
    try:
        if name in _CLOSING:
            result = _CLOSING[name](payload, task_id, services, deadline(context))
        elif name in _MAKING:
            result = _make(name, payload, task_id, services, deadline(context))
        else:
            raise InvalidRequest(f"There is no step {name[:40]!r}.")
    except ColdswapError as error:
        failed = type(error).__name__
        count_fault(error, ended=False)  # whether the video fails is seen where its workflow ends
        logger().warning(
            "step failed", extra={"step": name, "task_id": task_id, "error": failed, "detail": error.detail}
        )
        raise
    except Exception as error:
        failed = type(error).__name__
        count_fault(error, ended=False)
        where = traceback.format_tb(error.__traceback__)
        logger().error("step broke", extra={"step": name, "task_id": task_id, "error": failed, "trace": where})
        raise InternalError(f"A step ended with {failed}. The log has more.") from None
    finally:
        spent = (time.perf_counter() - began) * 1000
        measures = {
            "ms": round(spent),
            "cpu_s": round(_cpu_seconds() - cpu, 2),
            "peak_memory_mb": peak_memory_mb(),
            # Of the largest ffmpeg that this sandbox ever ran; Linux counts in KiB (getrusage(2)).
            "encoder_peak_memory_mb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6, 1),
            "bytes_fetched": result.pop("bytes_fetched", 0),
            "cold_start": int(cold()),
        }
        emit(memory_percent(measures["peak_memory_mb"], measures["encoder_peak_memory_mb"]))
        logger().info("step", extra={"step": name, "task_id": task_id, "failed": int(bool(failed)), **measures})
    return result


def _make(name: str, payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    if name == "publish":
        # The answer of a first try that succeeded may have been lost.
        task = services.tasks.find(task_id)
        if task is not None and task.status == "succeeded":
            return _published(task)
    task = services.tasks.enter(task_id)
    if not services.slots.renew(task_id):
        # The lease ran out between two tries and somebody else has the slot: what was paid for is made nevertheless.
        logger().warning("lease lost", extra={"task_id": task_id})
    work = services.work.track(task.caller)
    try:
        with scratch_folder(SCRATCH) as folder:
            return _MAKING[name](payload, Step(task, services, work, folder, until))
    except Cancelled:
        _keep_or_discard(task_id, work, services)
        with suppress(StorageFailed):  # it ends by itself
            services.slots.free(task_id)  # which was kept for this step
        raise
    except Exception:
        _keep_or_discard(task_id, work, services)
        raise


def _keep_or_discard(task_id: str, work: ArtifactStore, services: Services) -> None:
    """After a step that did not end well: what it made is its task's to delete, or is deleted if the task was."""
    try:
        if work.used and not services.tasks.keep_work(task_id, work.used):
            work.discard()
    except ColdswapError as error:  # the step's own error says more; what is left expires
        logger().warning("work left behind", extra={"task_id": task_id, "detail": error.detail})


def _voice(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.providers.fair_share import voice_service
    from functions.video.providers.keys import read_keys
    from functions.video.render.voice_over import voice_over

    settings, request = step.services.settings, step.task.request
    known = read_keys(settings.provider_keys)
    key = voice_over(
        request.script_text,
        request.voice_id or known.voice_id,
        service=voice_service(step.services, known, step.task.caller),
        work=step.work,
        payments=step.services.payments,
        folder=step.folder,
        deadline=step.deadline,
        settings=settings,
    )
    step.mark_done("voice")
    return {"voice": key}


def _footage(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.providers.fair_share import footage_service
    from functions.video.providers.keys import read_keys
    from functions.video.render.footage import find

    settings = step.services.settings
    key = find(
        step.task.request.search_query,
        service=footage_service(step.services, read_keys(settings.provider_keys), step.task.caller),
        work=step.work,
        deadline=step.deadline,
        settings=settings,
    )
    step.mark_done("footage")
    return {"found": key}


def _plan(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.render.plan import lay_out

    work = step.work
    voice, found = step.get(payload["voice"], VoiceOver), step.get(payload["found"], SearchResult)
    plan = lay_out(voice, found)
    key = work.key("plan", "json", plan)
    work.put(key, plan)
    step.mark_done("plan", clips=len(plan.segments))
    return {"voice": payload["voice"], "plan": key, "segments": [segment.index for segment in plan.segments]}


def _clip(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.render.clip import make

    plan, voice = step.get(payload["plan"], Plan), step.get(payload["voice"], VoiceOver)
    segment = plan.segments[int(payload["index"])]
    key = make(
        segment,
        plan,
        voice,
        captions=step.task.request.captions,
        badge=step.task.request.badge,
        quality=step.task.request.quality,
        work=step.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    fetched = step.get(key, Clip).bytes_fetched
    step.mark_done(f"clip#{segment.index}")
    return {"clip": key, "bytes_fetched": fetched}


def _sound(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.render.assemble import sound

    key = sound(
        step.get(payload["voice"], VoiceOver),
        work=step.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    step.mark_done("sound")
    return {"sound": key}


def _assemble(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.render.assemble import join

    key = join(
        step.get(payload["plan"], Plan),
        [step.get(each, Clip) for each in payload["clips"]],
        step.get(payload["voice"], VoiceOver),
        work=step.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    step.mark_done("assemble")
    return {"video": key}


def _publish(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.publish import publish

    return _published(
        publish(
            step.task.id,
            str(payload["video"]),
            step.get(payload["plan"], Plan),
            [step.get(each, Clip) for each in payload["clips"]],
            step.get(payload["voice"], VoiceOver),
            services=step.services,
            work=step.work,
            folder=step.folder,
            deadline=step.deadline,
        )
    )


def _published(task: Task) -> dict[str, Any]:
    from functions.video.callback import wanted

    return {"notify": wanted(task)}


def _fail(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    from functions.video.callback import wanted

    error = failure(str(payload.get("error") or ""), str(payload.get("cause") or ""))
    told = {"error": type(error).__name__, "cause": error.detail}
    try:
        task: Task | None = ended(task_id, "failed", error, services)
    except Cancelled:
        task = services.tasks.find(task_id)  # cancelled, or failed by a first try whose answer was lost
    return {**told, "notify": task is not None and wanted(task)}


def _notify(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    from functions.video.callback import attempt, wanted

    task = services.tasks.find(task_id)
    if task is None or not wanted(task):  # deleted meanwhile
        return {"notify": False}
    return attempt(task, int(payload["attempt"]), services, until)


_MAKING: dict[str, Callable[[Payload, Step], dict[str, Any]]] = {
    "voice": _voice,
    "footage": _footage,
    "plan": _plan,
    "clip": _clip,
    "sound": _sound,
    "assemble": _assemble,
    "publish": _publish,
}
_CLOSING: dict[str, Callable[[Payload, str, Services, Deadline], dict[str, Any]]] = {
    "fail": _fail,
    "notify": _notify,
}


def _cpu_seconds() -> float:
    """Of this process and of the children that it has waited for."""
    return sum(os.times()[:4])
