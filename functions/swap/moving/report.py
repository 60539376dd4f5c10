"""What is told of a moving meme's swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from functions.swap.context import SwapContext
from functions.swap.moving.outcome import MovingResult, PersonReport, TimeSpan
from functions.swap.moving.plan import SwapPlan
from functions.swap.moving.swapped_chunk import ChunkFacts
from functions.swap.moving.values import Analysis, Track
from functions.swap.values import NO_GATE, FaceReport, RemoteUse, SwapRequest
from layers.core.telemetry import Phases, peak_memory_mb
from layers.media.moving.description import NOTES, MovingPicture, Note, OutputFormat
from layers.media.moving.labels import MEDIA_TYPES


@dataclass(frozen=True)
class Delivered:
    """A result in the outputs bucket."""

    key: str
    url: str
    format: OutputFormat
    digest: str
    bytes: int
    notes: Sequence[Note]  # of the reader and the writer


def report_swap(
    request: SwapRequest,
    context: SwapContext,
    plan: SwapPlan,
    analysis: Analysis,
    picture: MovingPicture,
    chunks: Sequence[ChunkFacts],
    delivered: Delivered,
    phases: Phases,
) -> MovingResult:
    """The result; timings are those of all steps, as if one had followed the other."""
    models, people = context.models, report_people(plan, analysis)
    timings = {**plan.timings_ms, "swap": round(1000 * sum(chunk.seconds for chunk in chunks), 1)}
    for name, milliseconds in phases.timings_ms().items():
        timings[name] = round(timings.get(name, 0.0) + milliseconds, 1)
    common = {"face": plan.common} if plan.common else {}
    return MovingResult(
        key=delivered.key,
        url=delivered.url,
        content_type=MEDIA_TYPES[delivered.format],
        bytes=delivered.bytes,
        width=picture.width,
        height=picture.height,
        faces=[FaceReport(each.index, each.box, each.score, each.swapped, each.reason, each.source) for each in people],
        people=people,
        format=delivered.format,
        frames=plan.frames,
        face_frames=plan.face_frames,
        seconds=round(float(picture.seconds), 3),
        timings_ms=timings,
        peak_memory_mb=peak_memory_mb(),
        models={"pack": models.manifest.pack, **models.digests},
        engine=chunks[0].engine if chunks else None,
        gate=models.digests.get("gate", NO_GATE),
        detail=request.detail,
        digests={"meme": plan.meme, **common, "result": delivered.digest},
        cold_start=plan.cold_start,
        bytes_fetched=plan.bytes_fetched + sum(chunk.bytes_fetched for chunk in chunks),
        bytes_in_vain=0,
        notes=[*plan.notes, *(NOTES[note] for note in delivered.notes)],
        remote=sum_remote_use(chunks),
    )


def sum_remote_use(chunks: Sequence[ChunkFacts]) -> RemoteUse | None:
    """What the chunks took that were swapped elsewhere; None if none was."""
    remote = [chunk for chunk in chunks if chunk.remote_seconds]
    if not remote:
        return None
    seconds = sum(chunk.remote_seconds for chunk in remote)
    dollars = sum(chunk.remote_dollars for chunk in remote)
    return RemoteUse(remote[0].engine, round(seconds, 4), round(dollars, 8))


def report_people(plan: SwapPlan, analysis: Analysis) -> list[PersonReport]:
    """What became of each person."""
    return [
        PersonReport(
            index=track.index,
            box=track.portrait.box,
            score=track.portrait.score,
            swapped=person.reason is None,
            reason=person.reason,
            source=person.digests,
            times=list_times(analysis, track),
            thumbnail=thumbnail_time(analysis, track),
        )
        for track, person in zip(analysis.tracks, plan.people, strict=True)
    ]


def list_times(analysis: Analysis, track: Track) -> list[TimeSpan]:
    """When a person is seen, to the millisecond."""
    return [TimeSpan(round(start, 3), round(end, 3)) for start, end in analysis.times(track)]


def thumbnail_time(analysis: Analysis, track: Track) -> float:
    """When the frame appears that shows a person best, to the millisecond."""
    return round(analysis.seconds[track.thumbnail], 3)
