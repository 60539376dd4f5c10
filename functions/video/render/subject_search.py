"""Footage for the subjects of a script: a search for each thing to show, and others where that has nothing."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

from functions.video.context import CallerContext
from functions.video.cost import estimate_seconds
from functions.video.providers.interfaces import FootageService
from functions.video.values import MOST_SHOTS, SHOT_SECONDS, Footage, Search, SearchResult, Subject
from layers.core.errors import AtCapacity, NoFootage, ProviderFailed, QuotaExceeded, RateLimited

VERSION = 1  # raise it with code below that searches for, or keeps, other footage
MOST_SEARCHES = 12  # for terms that were found by the script's sentences
RESULTS_PER_SEARCH = 30
SPARES_PER_QUERY = 4
AT_ONCE = 4  # searches

KeepUsable = Callable[[Footage], Footage | None]
Query = tuple[str, str, bool]  # words, orientation, and whether they fit any script


@dataclass
class _Harvest:
    """What was searched for, and what came of it."""

    footage: dict[str, Footage] = field(default_factory=dict)
    searches: list[Search] = field(default_factory=list)
    error: Exception | None = None

    def count(self, queries: Iterable[str]) -> int:
        """How many footages there are of these queries."""
        wanted = set(queries)
        return sum(each.query in wanted for each in self.footage.values())


def count_shots(script: str) -> int:
    """About how many shots a script has."""
    return max(1, min(MOST_SHOTS, math.ceil(estimate_seconds(script) / SHOT_SECONDS)))


def choose_queries(subjects: Sequence[Subject]) -> list[str]:
    """The queries to begin with, in the script's order: what the caller wants, and of terms that were found the topic,
    those that several sentences share, and others from all of the script."""
    first = Counter(subject.queries[0] for subject in subjects if subject.queries)
    queries = list(first)
    if len(queries) <= MOST_SEARCHES or all(len(subject.queries) < 2 for subject in subjects):
        return queries
    shared = [query for query in queries if first[query] > 1]
    rest = [query for query in queries if first[query] == 1]
    room = max(0, MOST_SEARCHES - len(shared))
    chosen = {*shared[:MOST_SEARCHES], *(rest[number * len(rest) // room] for number in range(room))}
    return [query for query in queries if query in chosen]


def search_subjects(
    subjects: Sequence[Subject],
    shots: int,
    service: FootageService | None,
    context: CallerContext,
    keep_usable: KeepUsable,
    general: Sequence[str],
    locale: str | None = None,
    *,
    wide: bool = False,
) -> SearchResult:
    """Footage for all subjects, the best of each query first. Raises NoFootage, and what the service raises before
    anything was found; no service is needed where every subject has a file of its own.

    `general` are queries that fit any script; with `wide`, footage that lies on its side comes before upright one.
    """
    harvest = _Harvest()
    wanting = [subject for subject in subjects if subject.own is None]
    if wanting and service is not None:
        each = max(1, math.ceil(shots / len(subjects))) + SPARES_PER_QUERY
        search = partial(_search, each=each, service=service, context=context, keep=keep_usable, locale=locale)
        wish, other = ("landscape", "portrait") if wide else ("portrait", "landscape")
        search([(query, wish, False) for query in choose_queries(wanting)], harvest)
        search([(query, wish, False) for query in _next_queries(wanting, harvest)], harvest)
        search([(query, other, False) for query in _first_queries(wanting, harvest)], harvest)
        if _needs_general(wanting, shots, harvest):
            search([(query, wish, True) for query in general], harvest)
        if not harvest.footage:
            raise harvest.error or NoFootage("No footage was found for the script, nor for more general words.")
    query = next((each.query for each in harvest.footage.values()), "")
    return SearchResult(query, tuple(harvest.footage.values()), tuple(harvest.searches), tuple(subjects))


def rank(results: Sequence[Footage], query: str) -> list[Footage]:
    """The results, those first whose page's address has more of the query's words; else in the service's order."""
    words = {word.removesuffix("s") for word in re.findall(r"\w+", query.lower())}

    def misses(footage: Footage) -> int:
        slug = {word.removesuffix("s") for word in re.findall(r"[^\W_]+", footage.page_url.lower())}
        return -len(words & slug)

    return sorted(results, key=misses)


def _next_queries(subjects: Sequence[Subject], harvest: _Harvest) -> list[str]:
    """For subjects without any footage but the topic's, their next term."""
    searched = {search.query for search in harvest.searches}
    empty = [
        subject
        for subject in subjects
        if subject.queries and not harvest.count(subject.queries[:-1] or subject.queries)
    ]
    terms = [next((query for query in subject.queries if query not in searched), None) for subject in empty]
    # Where only the caller's own phrase is known, its last word is mostly the noun.
    phrases = [subject.queries[0].split()[-1] for subject in empty if len(subject.queries) == 1]
    choice = [query for query in dict.fromkeys([*terms, *phrases]) if query and query not in searched]
    return choice[:MOST_SEARCHES]


def _first_queries(subjects: Sequence[Subject], harvest: _Harvest) -> list[str]:
    """For subjects that are still without, what they wanted first, of whatever shape."""
    empty = [subject.queries[0] for subject in subjects if subject.queries and not _has_footage(subject, harvest)]
    return list(dict.fromkeys(empty))[:MOST_SEARCHES]


def _has_footage(subject: Subject, harvest: _Harvest) -> bool:
    return bool(harvest.count([*subject.queries, *(query.split()[-1] for query in subject.queries)]))


def _needs_general(subjects: Sequence[Subject], shots: int, harvest: _Harvest) -> bool:
    return len(harvest.footage) < shots or not all(_has_footage(subject, harvest) for subject in subjects)


def _search(
    queries: Sequence[Query],
    harvest: _Harvest,
    *,
    each: int,
    service: FootageService,
    context: CallerContext,
    keep: KeepUsable,
    locale: str | None,
) -> None:
    """Search, and add up to `each` footages of every query that can be used to the harvest."""

    def ask(query: Query) -> list[Footage] | Exception:
        words, orientation, is_general = query
        try:
            return service.search(
                words,
                orientation=orientation,
                locale=None if is_general else locale,
                count=RESULTS_PER_SEARCH,
                deadline=context.deadline,
            )
        except (AtCapacity, ProviderFailed, QuotaExceeded, RateLimited) as error:  # something is better than nothing
            return error

    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = list(pool.map(ask, queries))
    for answer in answers:
        harvest.error = answer if isinstance(answer, Exception) else harvest.error
    results = [[] if isinstance(answer, Exception) else answer for answer in answers]
    kept = _share(queries, results, each, keep, harvest)
    for (words, orientation, is_general), answer, count in zip(queries, answers, kept, strict=True):
        if not isinstance(answer, Exception):
            language = None if is_general else locale
            harvest.searches.append(Search(words, orientation, language, is_general, len(answer), count))


def _share(
    queries: Sequence[Query], results: Sequence[Sequence[Footage]], each: int, keep: KeepUsable, harvest: _Harvest
) -> list[int]:
    """Add what can be used to the harvest, and count it by queries; they take turns, because what several have in
    common belongs to one of them."""
    kept = [0] * len(queries)
    waiting = [iter(rank(result, query[0])) for result, query in zip(results, queries, strict=True)]
    open_queries = list(range(len(queries)))
    while open_queries:
        for number in list(open_queries):
            words, _, is_general = queries[number]
            fresh = (footage for footage in waiting[number] if footage.id not in harvest.footage)
            fitting = next((usable for footage in fresh if (usable := keep(footage))), None)
            if fitting is not None:
                harvest.footage[fitting.id] = replace(fitting, query=words, general=is_general)
                kept[number] += 1
            if fitting is None or kept[number] == each:
                open_queries.remove(number)
    return kept
