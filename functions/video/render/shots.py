"""Shots that follow the words: cut where sentences end, a few seconds each, with footage of what is said meanwhile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

from functions.video.render.continuation import Slot, choose_least_repeated, continue_slots, find_cut_costs
from functions.video.values import (
    FPS,
    MOST_SHOTS,
    OWN,
    SHOT_SECONDS,
    Footage,
    SearchResult,
    Segment,
    Subject,
    VoiceOver,
)
from layers.core.errors import NoFootage

SHORTEST, LONGEST = 3.0, 5.0  # seconds of a shot, where sentences allow it
_FEWER = 1.15  # by how much shots grow until there are few enough
_REACH = 2.0  # times the longest: how long a shot may be at most where there are words to cut at
# Costs of a cut at a word's end are those of continuation.py; that of a shot is the square of how far it is from the
# wanted length, in that length.
_TOO_SHORT = 2.0  # for less than two thirds of the shortest
_MISSED = 0.25  # for a sentence that ends without a cut, so that its picture stays for the next
_SCENE = 1000.0  # for a scene that ends without a cut, or for a cut within an own clip


@dataclass(frozen=True)
class Shot:
    """Frames first to first + frames (exclusive), and what to show: queries, the best first, or an own clip."""

    first: int
    frames: int
    queries: tuple[str, ...]
    own: Footage | None


@dataclass(frozen=True)
class _Span:
    """The frames of a subject's words."""

    first: int
    last: int
    subject: Subject


def lay_out_slots(voice: VoiceOver, result: SearchResult, frames: int) -> list[Slot]:
    """Slots that cover the frames, with footage of which none is in two, own clips aside. Raises NoFootage."""
    shots = cut_shots(voice, result.subjects, frames)
    slots = _choose_footage(shots, result.footage)
    stock = [slot for slot in slots if slot.footage.source != OWN]
    if not stock:
        return slots
    return choose_least_repeated(continue_slots(slots, result.footage, find_cut_costs(voice.words)))


def cut_shots(voice: VoiceOver, subjects: Sequence[Subject], frames: int) -> list[Shot]:
    """At most MOST_SHOTS shots that cover the frames, and what each is about."""
    spans = _find_spans(voice, subjects, frames)
    wanted = max(SHOT_SECONDS, frames / FPS / MOST_SHOTS)
    for _ in range(20):
        cuts = _choose_cuts(voice, spans, frames, wanted)
        if len(cuts) <= MOST_SHOTS + 1:
            break
        wanted *= _FEWER
    return [_describe(first, last, spans) for first, last in pairwise(cuts)]


def find_queries(voice: VoiceOver, subjects: Sequence[Subject], frames: int, segment: Segment) -> tuple[str, ...]:
    """What a segment of a plan is about: the queries for it, the best first; none where one is for all."""
    last = segment.first_frame + segment.frames
    return _describe(segment.first_frame, last, _find_spans(voice, subjects, frames)).queries if subjects else ()


def _find_spans(voice: VoiceOver, subjects: Sequence[Subject], frames: int) -> list[_Span]:
    """Where each subject's words are spoken. Where the voice has another number of words than the script, in
    proportion."""
    total = sum(subject.words for subject in subjects) or 1
    ends = []
    for count in accumulate(subject.words for subject in subjects):
        number = round(count * len(voice.words) / total)
        ends.append(round(voice.words[number - 1].end * FPS) if number else 0)
    ends[-1] = frames
    return [_Span(first, last, subject) for (first, last), subject in zip(pairwise([0, *ends]), subjects, strict=True)]


def _choose_cuts(voice: VoiceOver, spans: Sequence[_Span], frames: int, wanted: float) -> list[int]:
    """The frames at which shots begin and end: the cheapest way through the places where words end."""
    costs = {at: cost for at, cost in find_cut_costs(voice.words).items() if 0 < at < frames}
    scene_ends = {span.last for span in spans if span.subject.ends_scene}
    costs |= {at: 0.0 for at in scene_ends if 0 < at < frames}
    for span in spans:
        if span.subject.own:
            costs = {at: cost for at, cost in costs.items() if not span.first < at < span.last}
    places = [0, *sorted(costs), frames]
    missed = {at: _SCENE if at in scene_ends else _MISSED for at in costs if costs[at] == 0.0}
    best: list[tuple[float, int]] = [(0.0, 0)]  # of each place: the cost up to there, and the place before
    for number in range(1, len(places)):
        best.append(min(_ways(places, number, best, missed, wanted), default=(best[-1][0], number - 1)))
        cost, before = best[-1]
        best[-1] = (cost + costs.get(places[number], 0.0), before)
    cuts, number = [frames], len(places) - 1
    while number:
        number = best[number][1]
        cuts.append(places[number])
    return cuts[::-1]


def _ways(
    places: Sequence[int], number: int, best: Sequence[tuple[float, int]], missed: dict[int, float], wanted: float
) -> Iterator[tuple[float, int]]:
    """Cost and beginning of every shot that could end at a place."""
    passed = 0.0
    for before in range(number - 1, -1, -1):
        seconds = (places[number] - places[before]) / FPS
        yield best[before][0] + passed + _length_cost(seconds, wanted), before
        passed += missed.get(places[before], 0.0)
        if seconds > _REACH * LONGEST * wanted / SHOT_SECONDS and before < number - 1 and passed < _SCENE:
            return


def _length_cost(seconds: float, wanted: float) -> float:
    ratio = wanted / SHOT_SECONDS
    shortest, longest = SHORTEST * ratio, LONGEST * ratio
    away = max(shortest - seconds, seconds - longest, 0.0)
    return (away / wanted) ** 2 * 4 + (_TOO_SHORT if seconds < shortest * 2 / 3 else 0.0)


def _describe(first: int, last: int, spans: Sequence[_Span]) -> Shot:
    """A shot of these frames: it is about what most of its words are, of what can be shown."""
    overlaps = [(min(last, span.last) - max(first, span.first), span.subject) for span in spans]
    within = [(frames, subject) for frames, subject in overlaps if frames > 0]
    own = next((subject.own for frames, subject in within if subject.own and 2 * frames > last - first), None)
    # A subject with a single query is abstract, or is what the caller wants; others have the topic as their last.
    concrete = sorted(within, key=lambda each: (-(len(each[1].queries) > 1), -each[0]))
    queries = dict.fromkeys(query for _, subject in concrete for query in subject.queries[:-1])
    queries |= dict.fromkeys(query for _, subject in concrete for query in subject.queries[-1:])
    return Shot(first, last - first, tuple(queries), own)


def _choose_footage(shots: Sequence[Shot], footage: Sequence[Footage]) -> list[Slot]:
    """A slot for each shot with footage that was not shown yet; where none is left, the shot before goes on."""
    left = list(footage)
    slots: list[Slot] = []
    for shot in shots:
        own = shot.own
        if own is None and left:
            before = slots[-1].footage.photographer_url if slots else None
            own = min(left, key=lambda each: _unfitness(each, shot, before))
            left.remove(own)
        if own is not None:
            slots.append(Slot(shot.first, shot.frames, own))
        elif slots:
            slots[-1] = Slot(slots[-1].first, slots[-1].frames + shot.frames, slots[-1].footage)
    if not slots:
        raise NoFootage()
    first = slots[0]
    if first.first:  # the shots before it have nothing to show
        slots[0] = Slot(0, first.first + first.frames, first.footage)
    return slots


def _unfitness(footage: Footage, shot: Shot, before: str | None) -> tuple[float, ...]:
    """How little a footage fits a shot: whether it is too short, by its place among the queries, and whether the shot
    before it is of the same photographer. Equals stay in their order, which is the search's."""
    of_query = [number for number, query in enumerate(shot.queries) if footage.query in (query, query.split()[-1])]
    place = of_query[0] if of_query else len(shot.queries) + (0 if footage.general else 1)
    too_short = footage.seconds * FPS < shot.frames
    return (math.inf if place > len(shot.queries) else place, too_short, footage.photographer_url == before != "")
