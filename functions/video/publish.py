"""The finished video where its owner can fetch it, with poster, captions, and whom to thank."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from functions.video.artifacts import ArtifactStore
from functions.video.provenance import credits
from functions.video.render import captions, poster
from functions.video.services import Services
from functions.video.tasks.store import Task
from functions.video.values import Clip, Plan, PublishedVideo, VoiceOver, file_keys, files
from layers.core.deadline import Deadline
from layers.core.errors import Cancelled


def publish(
    task_id: str,
    video_key: str,
    plan: Plan,
    clips: Sequence[Clip],
    voice: VoiceOver,
    *,
    services: Services,
    work: ArtifactStore,
    folder: Path,
    deadline: Deadline,
) -> Task:
    """The task, succeeded, its slot free. Raises Cancelled, having left nothing, if the task was over before."""
    bucket, storage, place = services.settings.outputs_bucket, services.storage, file_keys(task_id)
    size = work.size(video_key)
    poster_key = poster.make(video_key, plan, work=work, folder=folder, deadline=deadline, settings=services.settings)
    published = PublishedVideo(
        video=place["video"],
        poster=place["poster"],
        srt=place["srt"] if voice.words else None,
        vtt=place["vtt"] if voice.words else None,
        seconds=plan.frames / plan.fps,
        size=size,
        credits=credits(clips),
    )
    if published.srt and published.vtt:
        storage.write(bucket, published.srt, captions.srt(voice.words).encode(), "application/x-subrip")
        storage.write(bucket, published.vtt, captions.vtt(voice.words).encode(), "text/vtt")
    work.publish(poster_key, published.poster)
    work.publish(video_key, published.video)
    try:
        return services.tasks.succeed(task_id, published, work.used)
    except Cancelled:
        for key in files(published):
            storage.delete(bucket, key)
        raise
    finally:
        services.slots.free(task_id)
