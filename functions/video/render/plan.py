"""The plan: which footage shows in which frames, so that they cover the voice exactly and cut where a sentence ends."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from functions.video.render.continuation import (
    SHORTEST_SECONDS,
    Slot,
    choose_least_repeated,
    continue_slots,
    find_cut_costs,
)
from functions.video.render.shots import lay_out_slots
from functions.video.values import (
    FPS,
    MOST_CLIPS,
    MOST_SHOTS,
    SHOT_SECONDS,
    Footage,
    Plan,
    SearchResult,
    Segment,
    VoiceOver,
)
from layers.core.errors import NoFootage

CLIP_SECONDS = 3.0  # length of a clip of a short video, where the number of clips allows it
MOST_SPARES = 10

_REACH = 0.4  # of a clip's length: how far a cut may be from where even clips would have it
_LEAST_SPARES = 3  # which are kept rather than more clips made
_VARIED = 3  # clips, of which none is given up for better cuts
_ANYWHERE, _TOO_SHORT, _ONE_LESS = 0.4, 2.0, 0.45  # costs, as those of cuts at words are


def lay_out(voice: VoiceOver, result: SearchResult, *, most_clips: int | None = None) -> Plan:
    """The plan: as many frames as cover the voice, with footages of which none is in two segments, the rest as spares.

    Where one query is for all, there are at most `most_clips` segments, by default one for every few seconds, unless
    footage would end and begin anew while other footage is left. Raises NoFootage where the search result is empty.
    """
    footage = list({each.id: each for each in result.footage}.values())
    # A remainder that comes from the binary fraction of the seconds alone is not a frame.
    frames = max(1, math.ceil(round(voice.seconds * FPS, 6)))
    if result.subjects:
        return _plan(frames, lay_out_slots(voice, result, frames), footage, result)
    if not footage:
        raise NoFootage()
    if most_clips is None:
        most_clips = max(MOST_CLIPS, min(MOST_SHOTS, round(voice.seconds / SHOT_SECONDS), len(footage) - _LEAST_SPARES))
    most = min(most_clips, len(footage), round(voice.seconds / CLIP_SECONDS), int(voice.seconds / SHORTEST_SECONDS))
    most = max(1, most)
    cut_costs = find_cut_costs(voice.words)
    return _plan(frames, choose_least_repeated(_ways(footage, frames, most, cut_costs)), footage, result)


def _plan(frames: int, slots: Sequence[Slot], footage: Sequence[Footage], result: SearchResult) -> Plan:
    segments = tuple(Segment(index, slot.first, slot.frames, slot.footage) for index, slot in enumerate(slots))
    used_ids = {slot.footage.id for slot in slots}
    spares = tuple(each for each in footage if each.id not in used_ids)
    if not result.subjects:
        spares = spares[:MOST_SPARES]
    return Plan(frames, segments, spares, searches=result.searches)


def _ways(footage: Sequence[Footage], frames: int, most: int, cut_costs: Mapping[int, float]) -> Iterator[list[Slot]]:
    """Ways to fill the frames, the best first: in at most `most` slots; in more, where footage is too short for these;
    and with all that the footage has."""
    fewer = [most - 1] if most > _VARIED else []
    options = [_choose_cuts(cut_costs, frames, count, _ONE_LESS * (most - count)) for count in (most, *fewer)]
    yield from continue_slots(_fill(footage, [0, *min(options)[1], frames]), footage, cut_costs)
    for count in range(most + 1, min(len(footage), int(frames / FPS / SHORTEST_SECONDS)) + 1):
        _, cuts = _choose_cuts(cut_costs, frames, count, 0.0)
        yield from continue_slots(_fill(footage, [0, *cuts, frames]), footage, cut_costs)
    yield from continue_slots([Slot(0, frames, footage[0])], footage, cut_costs)


def _fill(footage: Sequence[Footage], cuts: Sequence[int]) -> list[Slot]:
    """Slots from each of these frames to the next, with footage."""
    spans = [(first, after - first) for first, after in pairwise(cuts)]
    chosen = _choose_footage(footage, [length / FPS for _, length in spans])
    return [Slot(first, length, each) for (first, length), each in zip(spans, chosen, strict=True)]


def _choose_cuts(cut_costs: Mapping[int, float], frames: int, clips: int, price: float) -> tuple[float, list[int]]:
    """The cost, `price` included, and the frames at which clips 2 to `clips` begin; `cut_costs` are those of cuts at
    the frames at which words end.

    It is the cheapest choice of one candidate around each place where even clips would be cut.
    """
    even = frames / clips
    best: dict[int, tuple[float, list[int]]] = {0: (price, [])}
    for number in range(1, clips + 1):
        position = number * even
        candidates = {
            at: cost for at, cost in cut_costs.items() if abs(at - position) <= _REACH * even and 0 < at < frames
        }
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
