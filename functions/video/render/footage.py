"""Stock footage for a search phrase: the usable part of what a service finds, with more general words if need be."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from functions.video.artifacts import recipe
from functions.video.context import CallerContext
from functions.video.cost import estimate_seconds
from functions.video.providers.interfaces import FootageService
from functions.video.render import query_locale, subject_search, subjects
from functions.video.render.query_locale import guess_locale
from functions.video.render.search_cache import RememberedSearches
from functions.video.render.subject_search import choose_queries, count_shots, rank, search_subjects
from functions.video.render.subjects import list_subjects
from functions.video.settings import VideoSettings
from functions.video.values import HEIGHT, MOST_CLIPS, WIDTH, Footage, Search, SearchResult, VideoRequest
from layers.core.errors import AtCapacity, NoFootage, ProviderFailed, QuotaExceeded, RateLimited

VERSION = 3  # raise it with code below that searches for, or leaves out, other footage
RESULTS_PER_SEARCH = 60  # the clips of a long video, spares, and what the filter takes away
MOST_FOOTAGE = 40  # of what was found
SHORTEST_SECONDS = 2.0
GENERAL_QUERIES = ("nature", "abstract background")  # fit any script; searched for when nothing fits the phrase
_MOST_QUERIES = 6
_FEW_SECONDS = 60.0  # of footage, which the clips of most searches have anyway
_STEP_SECONDS = 30  # so that a script with a few more words needs no other search


@dataclass(frozen=True)
class _Query:
    """Words to search for, and how."""

    words: str
    orientation: str
    locale: str | None = None
    general: bool = False


def find(
    request: VideoRequest,
    service: FootageService | None,
    context: CallerContext,
    charge: Callable[[int], None] = lambda searches: None,
) -> str:
    """The key of a SearchResult in the artifact store, searched for unless it exists.

    `service` may be None where the request needs no footage. `charge` is called before a search that is really made,
    with the number of things to search for, and may refuse it. Raises NoFootage, and what the service and `charge`
    raise.
    """
    settings, artifacts = context.settings, context.artifacts
    limits = (settings.max_clip_pixels, settings.max_clip_bytes)
    name = service.name if service else ""
    modules = (sys.modules[__name__], query_locale, subject_search, subjects)
    wishes = list_subjects(request)
    query = request.search_query if isinstance(request.search_query, str) else ""
    locales = _locales(query, request.script_text)
    shots = count_shots(request.script_text)
    seconds, wide = _needed_seconds(request), request.aspect != "9:16"
    inputs = (wishes, shots, guess_locale(request.script_text)) if wishes else (query, locales, seconds)
    key = artifacts.key("footage", "json", name, inputs, wide, limits, recipe(*modules))
    if artifacts.reuse(key, SearchResult, context.deadline) is None:
        if service is not None:
            charge(len(choose_queries(wishes)))
            if "pixabay" in service.name:
                service = RememberedSearches(service, artifacts)
        if service is None or wishes:
            locale = guess_locale(request.script_text)
            keep = partial(_keep_usable, settings=settings)
            result = search_subjects(wishes, shots, service, context, keep, GENERAL_QUERIES, locale, wide=wide)
        else:
            result = search(query, service, context, locales, seconds, wide=wide)
        artifacts.put(key, result)
    return key


def search(
    query: str,
    service: FootageService,
    context: CallerContext,
    locales: Sequence[str | None] = (None,),
    seconds: int = 0,
    *,
    wide: bool = False,
) -> SearchResult:
    """Search until there is footage for all clips and `seconds` of it, or no words are left to search for; for words
    that fit any script only where the clips need it. Raises NoFootage.

    `locales` are the languages in which the query may be, the likeliest first; None leaves that to the service. `wide`
    looks for landscape footage first, and else for portrait.
    """
    usable: dict[str, Footage] = {}
    searches: list[Search] = []
    for each in _queries(query, locales, wide):
        if len(usable) >= MOST_CLIPS and (each.general or _sum_seconds(usable.values()) >= seconds):
            break
        try:
            results = service.search(
                each.words,
                orientation=each.orientation,
                locale=each.locale,
                count=RESULTS_PER_SEARCH,
                deadline=context.deadline,
            )
        except (AtCapacity, ProviderFailed, QuotaExceeded, RateLimited):
            if usable:  # less than wished for is better than nothing
                break
            raise
        before = len(usable)
        for footage in rank(results, each.words):
            if footage.id not in usable and (fitting := _keep_usable(footage, context.settings)):
                usable[footage.id] = replace(fitting, query=each.words, general=each.general)
        searches.append(
            Search(each.words, each.orientation, each.locale, each.general, len(results), len(usable) - before)
        )
        if usable and each.general:
            break
    if not usable:
        # Without the phrase: the sentence ends in the workflow's history, which nobody can delete.
        raise NoFootage("No footage was found for search_query, nor for more general words. Try another one.")
    footage_list = tuple(usable.values())[:MOST_FOOTAGE]
    return SearchResult(footage_list[0].query, footage_list, tuple(searches))


def _needed_seconds(request: VideoRequest) -> int:
    """Seconds of footage with which the voice shows none twice; 0 where those of a few clips will do."""
    seconds = estimate_seconds(request.script_text)
    return math.ceil(seconds / _STEP_SECONDS) * _STEP_SECONDS if seconds > _FEW_SECONDS else 0


def _sum_seconds(footage: Iterable[Footage]) -> float:
    return sum(each.seconds for each in footage)


def _locales(query: str, script: str) -> list[str | None]:
    """The languages in which the query may be: first its own, where its letters or words show it; else the service's
    choice, and then the script's."""
    if own := guess_locale(query):
        return [own, None]
    script_locale = guess_locale(script)
    return [None, script_locale] if script_locale else [None]


def _queries(query: str, locales: Sequence[str | None], wide: bool) -> Iterator[_Query]:
    """What to try: the phrase, in its languages; without its first words, which are the adjectives; in the other
    orientation; and general words."""
    first, other = ("landscape", "portrait") if wide else ("portrait", "landscape")
    words = query.split()
    phrase = " ".join(words)
    queries = [_Query(phrase, first, locale) for locale in locales]
    queries += [_Query(" ".join(words[start:]), first, locales[0]) for start in range(1, len(words))]
    yield from queries[: _MOST_QUERIES - len(GENERAL_QUERIES) - 1]
    yield _Query(phrase, other, locales[0])
    searched = {each.words for each in queries}
    yield from (_Query(each, first, general=True) for each in GENERAL_QUERIES if each not in searched)


def _keep_usable(footage: Footage, settings: VideoSettings) -> Footage | None:
    """The footage with the renditions that may be fetched; None where none of them is large enough."""
    renditions = tuple(
        each
        for each in footage.renditions
        if each.width * each.height <= settings.max_clip_pixels and (each.size or 0) <= settings.max_clip_bytes
    )
    large = any(min(each.width, each.height) >= WIDTH and max(each.width, each.height) >= HEIGHT for each in renditions)
    return replace(footage, renditions=renditions) if large and footage.seconds >= SHORTEST_SECONDS else None
