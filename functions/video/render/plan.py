"""The plan: which footage shows in which frames, so that they cover the voice exactly and cut where a sentence ends."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from functions.video.values import FPS, MOST_CLIPS, Footage, Plan, SearchResult, Segment, VoiceOver, Word
from layers.core.errors import NoFootage

CLIP_SECONDS = 3.0  # length of a clip of a short video, where the number of clips allows it
SHORTEST_SECONDS = 2.5
MOST_SPARES = 10

_REACH = 0.4  # of a clip's length: how far a cut may be from where even clips would have it
_VARIED = 3  # clips, of which none is given up for better cuts
# Costs, in squares of a clip's length relative to an even one: a cut at a word's end costs as much as two clips of
# which one is 40 % longer and the other as much shorter.
_AT_CLAUSE, _AT_WORD, _ANYWHERE, _TOO_SHORT, _ONE_LESS = 0.12, 0.3, 0.4, 2.0, 0.45
_CLAUSE_ENDS = ",;:—–、，；："  # noqa: RUF001 - commas and colons of other scripts are meant


def lay_out(voice: VoiceOver, result: SearchResult, *, most_clips: int = MOST_CLIPS) -> Plan:
    """The plan: as many frames as cover the voice, at most `most_clips` footages, none twice, the rest as spares.

    Raises NoFootage where the search result is empty.
    """
    footage = list({each.id: each for each in result.footage}.values())
    if not footage:
        raise NoFootage()
    # A remainder that comes from the binary fraction of the seconds alone is not a frame.
    frames = max(1, math.ceil(round(voice.seconds * FPS, 6)))
    most = min(most_clips, len(footage), round(voice.seconds / CLIP_SECONDS), int(voice.seconds / SHORTEST_SECONDS))
    most = max(1, most)
    fewer = [most - 1] if most > _VARIED else []
    options = [_choose_cuts(voice.words, frames, count, _ONE_LESS * (most - count)) for count in (most, *fewer)]
    cuts = [0, *min(options)[1], frames]
    slots = [(first, after - first) for first, after in pairwise(cuts)]
    chosen = _choose_footage(footage, [length / FPS for _, length in slots])
    segments = tuple(
        Segment(index, first, length, each)
        for index, ((first, length), each) in enumerate(zip(slots, chosen, strict=True))
    )
    used_ids = {each.id for each in chosen}
    spares = tuple(each for each in footage if each.id not in used_ids)[:MOST_SPARES]
    return Plan(frames, segments, spares, searches=result.searches)


def _choose_cuts(words: Sequence[Word], frames: int, clips: int, price: float) -> tuple[float, list[int]]:
    """The cost, `price` included, and the frames at which clips 2 to `clips` begin.

    It is the cheapest choice of one candidate around each place where even clips would be cut.
    """
    even = frames / clips
    ends = {round(word.end * FPS): _cut_cost(word) for word in words}
    best: dict[int, tuple[float, list[int]]] = {0: (price, [])}
    for number in range(1, clips + 1):
        position = number * even
        candidates = {at: cost for at, cost in ends.items() if abs(at - position) <= _REACH * even and 0 < at < frames}
        if number == clips:
            candidates = {frames: 0.0}
        elif not candidates:
            candidates = {round(position): _ANYWHERE}
        cheapest: dict[int, tuple[float, list[int]]] = {}
        for at, cost in candidates.items():
            cheapest[at] = min(
                (so_far + cost + _unevenness(at - before, even), [*cuts, at]) for before, (so_far, cuts) in best.items()
            )
        best = cheapest
    total, cuts = best[frames]
    return total, cuts[:-1]


def _cut_cost(word: Word) -> float:
    if word.ends_sentence:
        return 0.0
    return _AT_CLAUSE if word.text[-1:] in _CLAUSE_ENDS else _AT_WORD


def _unevenness(length: int, even: float) -> float:
    return (length / even - 1) ** 2 + (_TOO_SHORT if length < SHORTEST_SECONDS * FPS else 0.0)


def _choose_footage(footage: Sequence[Footage], slots: Sequence[float]) -> list[Footage]:
    """Footage for each slot: the first unused one that is long enough; where none is, the longest unused one."""
    left = list(footage)
    chosen: list[Footage | None] = []
    for seconds in slots:
        long_enough = next((each for each in left if each.seconds >= seconds), None)
        chosen.append(long_enough)
        if long_enough:
            left.remove(long_enough)
    by_length = iter(sorted(left, key=lambda each: -each.seconds))
    return [each or next(by_length) for each in chosen]
