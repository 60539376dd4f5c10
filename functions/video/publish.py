"""The finished video where its owner can fetch it, with poster, captions, and whom to thank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from functions.video import captions, poster
from functions.video.services import Services
from functions.video.story import credits
from functions.video.tasks import Task
from functions.video.values import Clip, Plan, Published, VoiceOver, files
from layers.core.deadline import Deadline
from layers.core.errors import Cancelled, InputNotFound


def publish(
    task_id: str,
    video_key: str,
    plan: Plan,
    clips: Sequence[Clip],
    voice: VoiceOver,
    *,
    services: Services,
    folder: Path,
    deadline: Deadline,
) -> Task:
    """The task, succeeded, its slot free. Raises Cancelled, having left nothing, if the task was over before."""
    bucket, storage, place = services.settings.outputs_bucket, services.storage, f"videos/{task_id}"
    head = storage.head(bucket, video_key)
    if head is None:
        raise InputNotFound("The video to publish is not there.")
    poster_key = poster.make(
        video_key, plan, work=services.work, folder=folder, deadline=deadline, settings=services.settings
    )
    published = Published(
        video=f"{place}/short.mp4",
        poster=f"{place}/poster.jpg",
        srt=f"{place}/captions.srt" if voice.words else None,
        vtt=f"{place}/captions.vtt" if voice.words else None,
        seconds=plan.frames / plan.fps,
        size=head.size,
        credits=credits(clips),
    )
    if published.srt and published.vtt:
        storage.write(bucket, published.srt, captions.srt(voice.words).encode(), "application/x-subrip")
        storage.write(bucket, published.vtt, captions.vtt(voice.words).encode(), "text/vtt")
    storage.copy(bucket, poster_key, published.poster)
    storage.copy(bucket, video_key, published.video)
    try:
        return services.tasks.succeed(task_id, published)
    except Cancelled:
        for key in files(published):
            storage.delete(bucket, key)
        raise
    finally:
        services.slots.free(task_id)
