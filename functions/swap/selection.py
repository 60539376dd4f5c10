"""Which faces of a meme are replaced."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from functions.swap.face.align import rejection_reason
from functions.swap.face.detect import find_largest, sort_by_size
from functions.swap.values import Face, FaceReport, PictureDigests, SkipReason
from layers.core.errors import InvalidRequest
from layers.core.mistakes import describe_mistake

Indices = Literal["all", "largest"] | list[int]  # of the faces that a request chooses


@dataclass(frozen=True)
class FaceSelection:
    """The faces of a meme by number, and why a face is not replaced (None: it is)."""

    faces: list[Face]
    reasons: Mapping[int, SkipReason | None]

    @property
    def chosen(self) -> list[Face]:
        """The faces that are replaced."""
        return [face for face in self.faces if self.reasons[face.index] is None]

    def refuse(self, refused: Collection[Face]) -> FaceSelection:
        """The selection without faces that are on the do-not-swap list."""
        return FaceSelection(self.faces, {**self.reasons, **{face.index: "refused" for face in refused}})

    def report(self, sources: Mapping[int, PictureDigests]) -> list[FaceReport]:
        """What becomes of each face; `sources`: digests of the pictures that replace the chosen ones, by number."""
        reports = []
        for face in self.faces:
            reason = self.reasons[face.index]
            source = sources[face.index] if reason is None else None
            reports.append(FaceReport(face.index, face.box, face.score, reason is None, reason, source))
        return reports


def select_faces(faces: list[Face], choice: Indices, width: int, height: int, limit: int) -> FaceSelection:
    """Select the faces to replace in a picture of that size in pixels; of more than `limit`, the largest ones.

    Raises InvalidRequest for a number that no face has.
    """
    chosen = _resolve_choice(faces, choice)
    reasons: dict[int, SkipReason | None] = {}
    for face in sort_by_size(faces):
        reason: SkipReason | None = "not_chosen"
        if face.index in chosen:
            reason = rejection_reason(face, width, height)
        if reason is None and list(reasons.values()).count(None) >= limit:
            reason = "over_limit"
        reasons[face.index] = reason
    return FaceSelection(faces, reasons)


def _resolve_choice(faces: list[Face], choice: Indices) -> set[int]:
    """The numbers of the faces that a request chooses."""
    numbers = {face.index for face in faces}
    if choice == "all":
        return numbers
    if choice == "largest":
        return {find_largest(faces).index}
    if unknown := sorted(set(choice) - numbers):
        available = f"faces 0 to {len(faces) - 1}" if len(faces) > 1 else "one face, which is number 0"
        message = f"is no face of the meme, which has {available}"
        raise InvalidRequest(
            f"The meme has {available}; there is no face {', '.join(map(str, unknown))}.",
            errors=[describe_mistake(("faces", choice.index(number)), message) for number in unknown],
        )
    return set(choice)
