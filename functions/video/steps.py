"""The workflow's steps, each in an invocation of its own: small keys in, small keys out, files in the work store."""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from functions.video.lifecycle import ended, failure
from functions.video.services import Services, deadline
from functions.video.tasks import Task
from functions.video.values import Clip, Found, Plan, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import Cancelled, ColdswapError, InvalidRequest
from layers.core.telemetry import correlate, emit, logger, peak_memory_mb

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Step:
    """One step at work: its task as it was when the step began, and a folder that is gone afterwards."""

    task: Task
    services: Services
    folder: Path
    deadline: Deadline

    def get(self, key: Any, kind: type[Any]) -> Any:
        """What an earlier step made."""
        return self.services.work.get(str(key), kind, self.deadline)


def run(payload: Payload, context: Any, services: Services) -> dict[str, Any]:
    """What the step named in the payload gives. Raises Cancelled if the task is over, and what the step raises.

    The workflow knows an error by its class name alone, and never sees a script, a URL or a key.
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
    except Exception as error:
        failed = type(error).__name__
        detail = error.detail if isinstance(error, ColdswapError) else ""
        logger().warning("step failed", extra={"step": name, "task_id": task_id, "error": failed, "detail": detail})
        raise
    finally:
        spent = (time.perf_counter() - began) * 1000
        counts = {
            "PeakMemory": peak_memory_mb(),
            # Of the largest ffmpeg that this sandbox ever ran; Linux counts in KiB (getrusage(2)).
            "EncoderPeakMemory": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6, 1),
            "BytesFetched": result.pop("bytes_fetched", 0),
        }
        used = round(_cpu_seconds() - cpu, 2)
        emit(counts | ({"Failed": 1} if failed else {}), {name: spent} if not failed else {}, cold_start=_cold())
        logger().info("step", extra={"step": name, "task_id": task_id, "ms": round(spent), "cpu_s": used, **counts})
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
    with tempfile.TemporaryDirectory(prefix="video-") as folder:
        return _MAKING[name](payload, Step(task, services, Path(folder), until))


def _voice(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.elevenlabs import ElevenLabs
    from functions.video.keys import keys
    from functions.video.voice import voice_over

    settings, request = step.services.settings, step.task.request
    known = keys(settings.provider_keys)
    key = voice_over(
        request.script_text,
        request.voice_id or known.voice_id,
        service=ElevenLabs(settings.elevenlabs_url, known.need("ELEVENLABS_API_KEY")),
        work=step.services.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=settings,
    )
    step.services.tasks.step_done(step.task.id, "voice")
    return {"voice": key}


def _footage(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.footage import find
    from functions.video.keys import keys
    from functions.video.pexels import Pexels

    settings = step.services.settings
    service = Pexels(settings.pexels_url, keys(settings.provider_keys).need("PEXELS_API_KEY"))
    key = find(
        step.task.request.search_query,
        service=service,
        work=step.services.work,
        deadline=step.deadline,
        settings=settings,
    )
    step.services.tasks.step_done(step.task.id, "footage")
    return {"found": key}


def _plan(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.plan import lay_out

    work = step.services.work
    voice, found = step.get(payload["voice"], VoiceOver), step.get(payload["found"], Found)
    plan = lay_out(voice, found)
    key = work.key("plan", "json", plan)
    work.put(key, plan)
    step.services.tasks.step_done(step.task.id, "plan", clips=len(plan.segments))
    return {"voice": payload["voice"], "plan": key, "segments": [segment.index for segment in plan.segments]}


def _clip(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.clip import make

    plan, voice = step.get(payload["plan"], Plan), step.get(payload["voice"], VoiceOver)
    segment = plan.segments[int(payload["index"])]
    key = make(
        segment,
        plan,
        voice,
        captions=step.task.request.captions,
        badge=step.task.request.badge,
        quality=step.task.request.quality,
        work=step.services.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    step.services.tasks.step_done(step.task.id, f"clip#{segment.index}")
    return {"clip": key, "bytes_fetched": step.get(key, Clip).bytes_fetched}


def _sound(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.assemble import sound

    key = sound(
        step.get(payload["voice"], VoiceOver),
        work=step.services.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    return {"sound": key}


def _assemble(payload: Payload, step: Step) -> dict[str, Any]:
    from functions.video.assemble import join

    key = join(
        step.get(payload["plan"], Plan),
        [step.get(each, Clip) for each in payload["clips"]],
        step.get(payload["voice"], VoiceOver),
        work=step.services.work,
        folder=step.folder,
        deadline=step.deadline,
        settings=step.services.settings,
    )
    step.services.tasks.step_done(step.task.id, "assemble")
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
            folder=step.folder,
            deadline=step.deadline,
        )
    )


def _published(task: Task) -> dict[str, Any]:
    from functions.video.notify import wanted

    return {"notify": wanted(task)}


def _fail(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    from functions.video.notify import wanted

    error = failure(str(payload.get("error") or ""), str(payload.get("cause") or ""))
    told = {"error": type(error).__name__, "cause": error.detail}
    try:
        task: Task | None = ended(task_id, "failed", error, services)
    except Cancelled:
        task = services.tasks.find(task_id)  # cancelled, or failed by a first try whose answer was lost
    return {**told, "notify": task is not None and wanted(task)}


def _notify(payload: Payload, task_id: str, services: Services, until: Deadline) -> dict[str, Any]:
    from functions.video.notify import attempt

    task = services.tasks.find(task_id)
    if task is None:
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


_warm = False


def _cold() -> bool:
    """Whether this is the sandbox's first step."""
    global _warm
    cold, _warm = not _warm, True
    return cold
