"""Who is on the do-not-swap list: sources, whose swap is refused, and faces of the meme, which stay as they are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from layers.core.errors import FaceRefused

if TYPE_CHECKING:
    from functions.swap.safeguards.denylist import DenylistMatcher
    from functions.swap.source_face import SourceFace


def check_sources(sources: Iterable[SourceFace], matcher: DenylistMatcher) -> None:
    """Raises FaceRefused if a source is on the list."""
    for source in sources:
        for name, embedding in source.embeddings.items():
            if matcher.matches(embedding):
                subject = name.capitalize()
                mistakes = source.list_mistakes(name, "shows a person whose face may not be used here")
                raise FaceRefused(
                    f"{subject} shows a person whose face may not be used here.", picture="face", **mistakes
                )
