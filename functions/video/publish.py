"""The finished video where its owner can fetch it, with poster, captions, and credits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from functions.video.context import StepContext
from functions.video.provenance import list_credits
from functions.video.providers.titles import title_of
from functions.video.render import captions, poster
from functions.video.render.caption_design import style_words
from functions.video.render.own_font import load_own_face
from functions.video.render.typesetting import find_undrawn
from functions.video.tasks.store import Task
from functions.video.values import Clip, Plan, PublishedVideo, Shot, VoiceOver, file_keys, list_files
from layers.core.errors import Cancelled


def list_shots(plan: Plan, clips: Sequence[Clip]) -> tuple[Shot, ...]:
    """What the video shows when: the footage of its clips, which may be spares."""
    pieces = [piece for clip in sorted(clips, key=lambda clip: clip.index) for piece in clip.pieces]
    starts = accumulate((piece.frames for piece in pieces), initial=0)
    return tuple(
        Shot(
            start=round(first / plan.fps, 3),
            seconds=round(piece.frames / plan.fps, 3),
            query=piece.footage.query,
            general=piece.footage.general,
            footage_url=piece.footage.page_url,
            source=piece.footage.source,
        )
        for first, piece in zip(starts, pieces, strict=False)  # one start is the end
    )


def publish(video_key: str, plan: Plan, clips: Sequence[Clip], voice: VoiceOver, context: StepContext) -> Task:
    """The task, succeeded, its slot free. Raises Cancelled, having left nothing, if the task was over before."""
    services, artifacts, task_id = context.services, context.artifacts, context.task.id
    bucket, storage, keys = services.settings.outputs_bucket, services.storage, file_keys(task_id)
    size = artifacts.size(video_key)
    poster_key = poster.make(video_key, plan, context)
    request = context.task.request
    words = style_words(voice.words, request.caption_style) if request.captions else ()
    own = load_own_face(services, context.deadline, request.caption_style.font) if words else None
    published = PublishedVideo(
        video=keys["video"],
        poster=keys["poster"],
        srt=keys["srt"] if voice.words else None,
        vtt=keys["vtt"] if voice.words else None,
        seconds=plan.frames / plan.fps,
        size=size,
        credits=list_credits(clips),
        captions_timing="exact" if voice.aligned else "estimated",
        shots=list_shots(plan, clips),
        searches=plan.searches,
        captions_left_out=find_undrawn((word.text for word in words), own),
        voice_service=title_of(voice.speaker) if voice.speaker else None,
    )
    if published.srt and published.vtt:
        storage.write(
            bucket, published.srt, captions.render_srt(voice.words, plan.scene_ends).encode(), "application/x-subrip"
        )
        storage.write(bucket, published.vtt, captions.render_vtt(voice.words, plan.scene_ends).encode(), "text/vtt")
    artifacts.publish(poster_key, published.poster)
    artifacts.publish(video_key, published.video)
    try:
        return services.tasks.succeed(task_id, published, artifacts.used)
    except Cancelled:
        for key in list_files(published):
            storage.delete(bucket, key)
        raise
    finally:
        services.slots.free(task_id)
