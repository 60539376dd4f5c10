"""Stock footage for a search phrase: what can be used of what a service finds, with more general words if need be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from functions.video.artifacts import ArtifactStore
from functions.video.settings import VideoSettings
from functions.video.values import HEIGHT, MOST_CLIPS, WIDTH, Footage, Rendition, SearchResult
from layers.core.deadline import Deadline
from layers.core.errors import AtCapacity, NoFootage, ProviderFailed, QuotaExceeded, RateLimited

COUNT = 30  # asked for at a time: five clips, spares, and what the filter takes away
KEPT = 15
SHORTEST_SECONDS = 2.0
GENERAL = ("nature", "abstract background")  # what fits any script, asked for when nothing fits the phrase
_MOST_QUERIES = 6


class FootageService(Protocol):
    """Where stock footage comes from."""

    name: str

    def search(self, query: str, *, orientation: str, count: int, deadline: Deadline) -> list[Footage]:
        """The best `count` for the query, the best first; `orientation` is portrait or landscape."""


def find(
    query: str,
    *,
    service: FootageService,
    work: ArtifactStore,
    deadline: Deadline,
    settings: VideoSettings,
    charge: Callable[[], None] = lambda: None,
) -> str:
    """The work key of a `Found`, made now or kept from before. Raises NoFootage, and what the service raises.

    `charge` is called before a search that is really made, and may refuse it.
    """
    key = work.key("footage", "json", service.name, query, COUNT, WIDTH, HEIGHT)
    if work.reuse(key, SearchResult, deadline) is None:
        charge()
        work.put(key, look(query, service=service, deadline=deadline, settings=settings))
    return key


def look(query: str, *, service: FootageService, deadline: Deadline, settings: VideoSettings) -> SearchResult:
    """Searches until there are enough for a video, or no words are left to ask for. Raises NoFootage."""
    found: dict[str, Footage] = {}
    first = ""
    for words, orientation in _queries(query):
        try:
            results = service.search(words, orientation=orientation, count=COUNT, deadline=deadline)
        except (AtCapacity, ProviderFailed, QuotaExceeded, RateLimited):
            if found:  # less than wished for is better than nothing
                break
            raise
        for footage in results:
            if footage.id not in found and (usable := _usable(footage, settings)):
                found[footage.id] = usable
                first = first or words
        if len(found) >= MOST_CLIPS or (found and words in GENERAL):
            break
    if not found:
        # Without the phrase: the sentence ends in the workflow's history, which nobody can delete.
        raise NoFootage("Nothing was found for search_query, nor for more general words. Try another one.")
    return SearchResult(first, tuple(found.values())[:KEPT])


def smallest_sufficient(footage: Footage, width: int = WIDTH, height: int = HEIGHT) -> Rendition:
    """The rendition with the fewest pixels that covers the frame; where none does, the one with the most."""
    covering = [each for each in footage.renditions if each.width >= width and each.height >= height]
    if covering:
        return min(covering, key=lambda each: (each.width * each.height, each.size or 0))
    return max(footage.renditions, key=lambda each: each.width * each.height)


def _queries(query: str) -> Iterator[tuple[str, str]]:
    """The phrase; the phrase without its first words, which are the adjectives; on its side; and what fits anything."""
    words = query.split()
    shorter = [" ".join(words[start:]) for start in range(1, len(words))]
    portrait = [" ".join(words), *shorter][: _MOST_QUERIES - len(GENERAL) - 1]
    yield from ((each, "portrait") for each in portrait)
    yield " ".join(words), "landscape"
    yield from ((each, "portrait") for each in GENERAL if each not in portrait)


def _usable(footage: Footage, settings: VideoSettings) -> Footage | None:
    """The footage with the renditions that may be fetched; None where none of them is large enough."""
    allowed = tuple(
        each
        for each in footage.renditions
        if each.width * each.height <= settings.max_clip_pixels and (each.size or 0) <= settings.max_clip_bytes
    )
    large = any(min(each.width, each.height) >= WIDTH and max(each.width, each.height) >= HEIGHT for each in allowed)
    return replace(footage, renditions=allowed) if large and footage.seconds >= SHORTEST_SECONDS else None
