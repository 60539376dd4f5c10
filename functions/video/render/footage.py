"""Stock footage for a search phrase: the usable part of what a service finds, with more general words if need be."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace

from functions.video.artifacts import recipe
from functions.video.context import CallerContext
from functions.video.providers.interfaces import FootageService
from functions.video.settings import VideoSettings
from functions.video.values import HEIGHT, MOST_CLIPS, WIDTH, Footage, SearchResult
from layers.core.errors import AtCapacity, NoFootage, ProviderFailed, QuotaExceeded, RateLimited

VERSION = 1  # raise it with code below that searches for, or leaves out, other footage
RESULTS_PER_SEARCH = 30  # five clips, spares, and what the filter takes away
MOST_FOOTAGE = 15  # of what was found
SHORTEST_SECONDS = 2.0
GENERAL_QUERIES = ("nature", "abstract background")  # fit any script; searched for when nothing fits the phrase
_MOST_QUERIES = 6


def find(query: str, service: FootageService, context: CallerContext, charge: Callable[[], None] = lambda: None) -> str:
    """The key of a SearchResult in the artifact store, searched for unless it exists.

    `charge` is called before a search that is really made, and may refuse it. Raises NoFootage, and what the service
    and `charge` raise.
    """
    settings, artifacts = context.settings, context.artifacts
    limits = (settings.max_clip_pixels, settings.max_clip_bytes)
    key = artifacts.key("footage", "json", service.name, query, limits, recipe(sys.modules[__name__]))
    if artifacts.reuse(key, SearchResult, context.deadline) is None:
        charge()
        artifacts.put(key, search(query, service, context))
    return key


def search(query: str, service: FootageService, context: CallerContext) -> SearchResult:
    """Search until there is enough footage for a video, or no words are left to search for. Raises NoFootage."""
    usable: dict[str, Footage] = {}
    first_query = ""
    for words, orientation in _queries(query):
        try:
            results = service.search(
                words, orientation=orientation, count=RESULTS_PER_SEARCH, deadline=context.deadline
            )
        except (AtCapacity, ProviderFailed, QuotaExceeded, RateLimited):
            if usable:  # less than wished for is better than nothing
                break
            raise
        for footage in results:
            if footage.id not in usable and (fitting := _keep_usable(footage, context.settings)):
                usable[footage.id] = fitting
                first_query = first_query or words
        if len(usable) >= MOST_CLIPS or (usable and words in GENERAL_QUERIES):
            break
    if not usable:
        # Without the phrase: the sentence ends in the workflow's history, which nobody can delete.
        raise NoFootage("No footage was found for search_query, nor for more general words. Try another one.")
    return SearchResult(first_query, tuple(usable.values())[:MOST_FOOTAGE])


def _queries(query: str) -> Iterator[tuple[str, str]]:
    """Queries and orientations to try: the phrase; the phrase without its first words, which are the adjectives; the
    phrase in landscape; and general ones."""
    words = query.split()
    shorter = [" ".join(words[start:]) for start in range(1, len(words))]
    portrait = [" ".join(words), *shorter][: _MOST_QUERIES - len(GENERAL_QUERIES) - 1]
    yield from ((each, "portrait") for each in portrait)
    yield " ".join(words), "landscape"
    yield from ((each, "portrait") for each in GENERAL_QUERIES if each not in portrait)


def _keep_usable(footage: Footage, settings: VideoSettings) -> Footage | None:
    """The footage with the renditions that may be fetched; None where none of them is large enough."""
    renditions = tuple(
        each
        for each in footage.renditions
        if each.width * each.height <= settings.max_clip_pixels and (each.size or 0) <= settings.max_clip_bytes
    )
    large = any(min(each.width, each.height) >= WIDTH and max(each.width, each.height) >= HEIGHT for each in renditions)
    return replace(footage, renditions=renditions) if large and footage.seconds >= SHORTEST_SECONDS else None
