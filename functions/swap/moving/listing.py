"""The people of a moving meme, without a swap: what POST /faces tells of one."""

from __future__ import annotations

from functions.swap.context import SwapContext
from functions.swap.face.align import rejection_reason
from functions.swap.face_listing import measure_eyes
from functions.swap.moving.analysis import MemeAnalysis
from functions.swap.moving.outcome import ListedPerson, PeopleListing
from functions.swap.moving.report import list_times, thumbnail_time
from functions.swap.moving.values import Analysis
from functions.swap.notes import note_faces
from functions.swap.source_embedding import join_hint
from layers.core.telemetry import logger
from layers.media.moving.description import NOTES
from layers.media.moving.reader import MovingReader


def describe_people(
    look: MemeAnalysis, reader: MovingReader, analysis: Analysis, context: SwapContext
) -> PeopleListing:
    """The people whom a look at a meme has found, by the numbers that a swap gives them."""
    people = list_swappable(analysis)
    notes = [*look.notes, *note_faces(list(people), context.settings.max_faces, 0.0)]
    if not people:
        sentence = "No face was found in the meme. Use one that shows faces clearly."
        notes.insert(0, join_hint(sentence, context.models.manifest.hint))
    return PeopleListing(
        width=reader.picture.width,
        height=reader.picture.height,
        frames=look.frames,
        seconds=round(float(reader.picture.seconds), 3),
        people=people,
        timings_ms=look.phases.timings_ms(),
        notes=notes + [NOTES[note] for note in reader.notes],
    )


def record_listing(listing: PeopleListing, meme: str, caller: str | None, context: SwapContext) -> None:
    """Write the audit line: who had which meme looked at, by which models; `meme`: its digest."""
    used = {name: value for name, value in context.models.digests.items() if name in ("detector", "embedder", "gate")}
    audit = {"digests": {"meme": meme}, "models": used, "caller": caller}
    logger().info("faces listed", extra={**audit, "faces": len(listing.people), "timings_ms": listing.timings_ms})


def list_swappable(analysis: Analysis) -> list[ListedPerson]:
    """Each person, and whether a swap can replace that face."""
    people = []
    for track in analysis.tracks:
        face = track.portrait
        reason = rejection_reason(face, analysis.width, analysis.height)
        people.append(
            ListedPerson(
                index=track.index,
                box=face.box,
                score=face.score,
                size=measure_eyes(face.keypoints),
                swappable=reason is None,
                reason=reason,
                times=list_times(analysis, track),
                thumbnail=thumbnail_time(analysis, track),
            )
        )
    return people
