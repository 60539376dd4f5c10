"""Remarks for the caller: what became otherwise than one might expect, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from functions.swap.source_embedding import find_strangers

if TYPE_CHECKING:
    from functions.swap.backends.interfaces import Failed
    from functions.swap.selection import FaceSelection
    from functions.swap.source_face import SourceFace
    from functions.swap.values import ListedFace, SkipReason
    from layers.media.formats import PictureFormat
    from layers.media.picture import Picture

_TOO_SMALL = "too small, with less than about 12 pixels between the eyes"
_CUT = "cut off by the edge of the picture"


def note_swap(
    meme: Picture, format: PictureFormat, selection: FaceSelection, limit: int, sources: Iterable[SourceFace] = ()
) -> list[str]:
    """Remarks on a swap of at most `limit` faces, by these sources."""
    from layers.media.encode import keeps_colors

    notes = note_selection(selection, f"at most {limit} are swapped in one request")
    if meme.alpha is not None and format == "jpeg":
        notes.append("JPEG has no transparency: transparent areas are now white.")
    if not keeps_colors(meme, format):
        notes.append("The colour profile does not fit the result and was left out, so colours may look different.")
    return notes + [note for source in sources for note in note_strangers(source)]


def note_remote(failure: Failed | None) -> list[str]:
    """A remark on a swap that was done here because it failed elsewhere."""
    if failure is None:
        return []
    return [f"The swapper elsewhere could not do it ({failure.code}), so the stack's own engine did."]


def note_selection(selection: FaceSelection, limit: str) -> list[str]:
    """Remarks on faces that are not replaced; `limit` says of how many that is because they are too many."""
    notes = [] if selection.chosen else ["No face was replaced; see the reason given for each face."]
    causes = {"over_limit": limit, "too_small": _TOO_SMALL, "cut_by_frame": _CUT}
    for count, cause in _count(selection.reasons.values(), causes):
        notes.append(f"{_faces(count)} {'was left as it is' if count == 1 else 'were left as they are'}: {cause}.")
    return notes


def note_strangers(source: SourceFace) -> list[str]:
    """A remark on a source whose pictures hardly show one person."""
    strangers = find_strangers(source.latent)
    if strangers is None:
        return []
    first, second = sorted(source.pictures[digest].number or 0 for digest in strangers.digests)
    return [
        f"The source pictures face[{first}] and face[{second}]{source.role.replaced} may show different people (cosine "
        f"similarity {strangers.similarity:.2f}). Their average resembles nobody: use pictures of one person."
    ]


def note_faces(faces: list[ListedFace], limit: int, smallest: float) -> list[str]:
    """Remarks on the faces of a picture, of which a swap replaces at most `limit`.

    `smallest`: from how many pixels between the eyes on a face of the picture is certain to be looked at.
    """
    causes = {"too_small": _TOO_SMALL, "cut_by_frame": _CUT}
    notes = [
        f"{_faces(count)} cannot be swapped: {cause}."
        for count, cause in _count((face.reason for face in faces), causes)
    ]
    if (swappable := sum(face.swappable for face in faces)) > limit:
        notes.append(f"{_faces(swappable)} can be swapped, but at most {limit} in one request: choose by number.")
    if smallest:
        notes.append(
            f"Faces with less than {smallest:.0f} pixels between the eyes may have been missed, because the picture is "
            "large. Cut it into parts to find them."
        )
    return notes


def _count(reasons: Iterable[SkipReason | None], causes: dict[str, str]) -> list[tuple[int, str]]:
    """How many faces have each of the reasons that have a cause in words."""
    listed = list(reasons)
    return [(listed.count(reason), cause) for reason, cause in causes.items() if reason in listed]


def _faces(count: int) -> str:
    return f"{count} face{'s' * (count != 1)}"
