"""Slots that are longer than their footage, continued with footage that is left: nothing is shown twice before that."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from functions.video.values import FPS, Footage, Word

SHORTEST_SECONDS = 2.5  # of a piece, where its slot has twice as much
_ROUNDED = 0.25  # seconds at the end of footage that are not relied on: services round its length
_REACH = 0.4  # of what its footage has: how much of a piece may be given up for a cut at a better place
# Costs, in squares of a clip's length relative to an even one: a cut at a word's end costs as much as two clips of
# which one is 40 % longer and the other as much shorter.
_AT_CLAUSE, _AT_WORD = 0.12, 0.3
_CLAUSE_ENDS = ",;:—\u2013\u3001\uff0c\uff1b\uff1a"  # also those of Chinese and Japanese
# What giving up all of a piece costs, beside what a cut costs.
_WASTE_COSTS = (0.5, 2.0, 10.0, 100.0)


@dataclass(frozen=True)
class Slot:
    """Frames first to first + frames (exclusive) of a video, and the footage that they show."""

    first: int
    frames: int
    footage: Footage

    @property
    def repeated(self) -> int:
        """Frames for which the footage begins anew."""
        return max(0, self.frames - int(self.footage.seconds * FPS))


def find_cut_costs(words: Sequence[Word]) -> dict[int, float]:
    """What a cut costs at each frame at which a word ends."""
    return {round(word.end * FPS): _cut_cost(word) for word in words}


def _cut_cost(word: Word) -> float:
    if word.ends_sentence:
        return 0.0
    return _AT_CLAUSE if word.text[-1:] in _CLAUSE_ENDS else _AT_WORD


def choose_first_piece(slot: Slot, cut_costs: Mapping[int, float]) -> int:
    """Frames of a slot that its footage fills before other footage follows; all of them where that is hardly noticed.

    Nearly all of the footage is used, because how much is left for the rest is not known.
    """
    if slot.repeated <= _ROUNDED * FPS:
        return slot.frames
    return _choose_cut(slot, cut_costs, _WASTE_COSTS[-2]) - slot.first


def continue_slots(
    slots: Sequence[Slot], footage: Sequence[Footage], cut_costs: Mapping[int, float]
) -> Iterator[list[Slot]]:
    """The slots, those that are longer than their footage in pieces, each with footage of its own while any is left.

    The first way has the best cuts, each that follows gives up less of the footage for them. `cut_costs` are the costs
    of cuts at the frames at which words end.
    """
    used_ids = {slot.footage.id for slot in slots}
    unused = [each for each in footage if each.id not in used_ids]
    if not unused or not any(slot.repeated for slot in slots):
        yield list(slots)
        return
    for waste_cost in _WASTE_COSTS:
        yield _continue(slots, unused, cut_costs, waste_cost)


def choose_least_repeated(ways: Iterable[list[Slot]]) -> list[Slot]:
    """The first way that shows nothing twice; else that with the least, and with no slot far worse than others."""
    costs: list[tuple[int, int, list[Slot]]] = []
    for number, way in enumerate(ways):
        costs.append((sum(slot.repeated**2 for slot in way), number, way))
        if costs[-1][0] == 0:
            break
    return min(costs)[2]


def _continue(
    slots: Sequence[Slot], unused: Sequence[Footage], cut_costs: Mapping[int, float], waste_cost: float
) -> list[Slot]:
    left = list(unused)
    pieces: list[Slot] = []
    for slot in slots:
        rest = slot
        while rest.repeated and left:
            cut = _choose_cut(rest, cut_costs, waste_cost)
            pieces.append(replace(rest, frames=cut - rest.first))
            frames = rest.first + rest.frames - cut
            footage = next((each for each in left if each.seconds * FPS >= frames), None)
            rest = Slot(cut, frames, footage or max(left, key=lambda each: each.seconds))
            left.remove(rest.footage)
        pieces.append(rest)
    return pieces


def _choose_cut(slot: Slot, cut_costs: Mapping[int, float], waste_cost: float) -> int:
    """The frame at which a slot goes on with other footage: best where a sentence ends, and late."""
    shown = max(1, int((slot.footage.seconds - _ROUNDED) * FPS))
    shortest = min(int(SHORTEST_SECONDS * FPS), slot.frames // 2)
    latest = slot.first + min(shown, slot.frames - shortest)
    earliest = min(latest, max(slot.first + shortest, latest - int(_REACH * shown)))
    places = [at for at in cut_costs if earliest <= at <= latest]
    return min(places, key=lambda at: cut_costs[at] + waste_cost * (latest - at) / shown, default=latest)
