"""An alignment as a voice service sends it, mended: what agrees with the text is kept, the rest lies between.

Services leave out or change characters (a line break becomes a blank), step back, stop early, or give one time for the
rest of a text.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from functions.video.render.alignment import Alignment, estimate_times
from functions.video.render.script_chunks import word_spans

VERSION = 2  # raise it with code that gives words other times
SLACK = 0.5  # seconds by which a time may lie after the end of the sound
MOST_SILENT_END, MOST_SILENT_SHARE = 1.0, 0.2  # seconds, and share, of the sound that may come after the last word
FASTEST_LETTER = 0.015  # seconds for each of many letters: less than half of what fast speech takes
MANY_LETTERS = 10
ANCHOR = 5  # characters in a row that are no coincidence
REACH = 300  # characters of the text among which the next such run is looked for
LEAST_AGREEMENT = 0.5  # of the shorter of text and alignment


@dataclass(frozen=True)
class _Point:
    """A character of the text with the service's own times."""

    at: int
    start: float
    end: float


def repair(
    alignment: Alignment | None, text: str, begin: float, end: float, spoken: str = ""
) -> tuple[Alignment, bool]:
    """Times of each character of the text, and whether every word has the service's own.

    Sound is heard from `begin` to `end`, in seconds. `spoken` is the text as the service got it, of the same length.
    """
    points = _keep_plausible(_match(alignment, spoken or text), text, begin, end) if alignment else []
    mended = _interpolate(points, text, begin, end)
    if not points or _is_crowded(mended, points):
        return estimate_times(text, end - begin, begin), False
    timed = {point.at for point in points}
    return mended, all(any(at in timed for at in _letters(text, *span)) for span in word_spans(text))


def _letters(text: str, first: int, last: int) -> list[int]:
    """The places of a word's letters and digits; all of its places where it has none."""
    return [at for at in range(first, last) if text[at].isalnum()] or list(range(first, last))


def _match(alignment: Alignment, text: str) -> list[_Point]:
    """The characters of the text that the alignment has too, in their order."""
    wanted = [_same(letter) for letter in text]
    entries = list(_characters(alignment, 2 * len(text) + 100))
    offered = [_same(letter) for letter, _, _ in entries]
    pairs = list(_pairs(wanted, offered))
    if len(pairs) < LEAST_AGREEMENT * min(len(wanted), len(offered)):
        return []
    return [_Point(at, *entries[other][1:]) for at, other in pairs]


def _same(letter: str) -> str:
    """What is compared of a character: neither its case nor the kind of blank."""
    return " " if letter.isspace() else letter.casefold()


def _characters(alignment: Alignment, most: int) -> Iterator[tuple[str, float, float]]:
    """Single characters, at most so many, with their times; an entry of several shares its time among them."""
    entries = zip(alignment.characters[:most], alignment.starts, alignment.ends, strict=False)
    for text, start, end in entries:
        for number, letter in enumerate(text[:most]):
            step = (end - start) / len(text)
            yield letter, start + number * step, start + (number + 1) * step


def _pairs(wanted: Sequence[str], offered: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Places in both that hold the same: what both end with, and before that whatever runs of ANCHOR or more agree.

    After a difference both go on at the nearest such run, so that the time this takes is bounded for any two texts.
    """
    shorter = min(len(wanted), len(offered))
    tail = next((at for at in range(shorter) if wanted[-1 - at] != offered[-1 - at]), shorter)
    ends = len(wanted) - tail, len(offered) - tail
    runs: dict[tuple[str, ...], list[int]] = {}
    for place in range(len(offered) - ANCHOR + 1):
        runs.setdefault(tuple(offered[place : place + ANCHOR]), []).append(place)
    at = other = 0
    while at < ends[0] and other < ends[1]:
        if wanted[at] == offered[other]:
            yield at, other
            at, other = at + 1, other + 1
            continue
        best = (ends[0] - at) + (ends[1] - other)
        nearest = ends
        for place in range(at, min(at + REACH, ends[0])):
            if place - at >= best:
                break
            places = runs.get(tuple(wanted[place : place + ANCHOR]), [])
            number = bisect_left(places, other)
            if number < len(places) and (place - at) + (places[number] - other) < best:
                best, nearest = (place - at) + (places[number] - other), (place, places[number])
        at, other = nearest
    yield from ((ends[0] + step, ends[1] + step) for step in range(tail))


def _keep_plausible(points: Sequence[_Point], text: str, begin: float, end: float) -> list[_Point]:
    """The points whose times can be true: within the sound, in order, and no faster than anybody speaks."""
    possible = [
        point for point in points if isfinite(point.start) and isfinite(point.end) and 0 <= point.start <= end + SLACK
    ]
    steady = _without_rushes(_longest_rise(possible))
    silent_end = end - steady[-1].end if steady else 0.0
    # All times are there and yet too short for the sound: which of them are wrong, nobody can tell.
    whole = bool(steady) and steady[-1].at >= len(text.rstrip()) - 2
    return [] if whole and silent_end > max(MOST_SILENT_END, MOST_SILENT_SHARE * (end - begin)) else steady


def _longest_rise(points: Sequence[_Point]) -> list[_Point]:
    """The most points of which none begins before the one before it: a step back costs only what steps back."""
    tails: list[float] = []  # the lowest last time of a rise of each length
    last_of: list[int] = []  # the place of that time
    previous: list[int] = []  # for each point, the place of the one before it in its rise
    for number, point in enumerate(points):
        length = bisect_right(tails, point.start)
        previous.append(last_of[length - 1] if length else -1)
        if length == len(tails):
            tails.append(point.start)
            last_of.append(number)
        else:
            tails[length] = point.start
            last_of[length] = number
    chosen: list[_Point] = []
    number = last_of[-1] if last_of else -1
    while number >= 0:
        chosen.append(points[number])
        number = previous[number]
    return chosen[::-1]


def _without_rushes(points: Sequence[_Point]) -> list[_Point]:
    """The points without runs of letters that take next to no time, of which the first alone is believed."""
    rushed: set[int] = set()
    for number in range(len(points) - MANY_LETTERS):
        first, last = points[number], points[number + MANY_LETTERS]
        if last.start - first.start < FASTEST_LETTER * MANY_LETTERS:
            rushed.update(range(number + 1, number + MANY_LETTERS + 1))
    return [point for number, point in enumerate(points) if number not in rushed]


def _interpolate(points: Sequence[_Point], text: str, begin: float, end: float) -> Alignment:
    """Times of every character: the points' own, and estimates between them, from `begin` to `end`."""
    starts, ends = [0.0] * len(text), [0.0] * len(text)
    at, time = 0, min([begin, *(point.start for point in points[:1])])
    for number, point in enumerate([*points, _Point(len(text), end, end)]):
        following = points[number + 1].start if number + 1 < len(points) else end
        start = max(time, point.start)
        between = estimate_times(text[at : point.at], start - time, time)
        starts[at : point.at], ends[at : point.at] = between.starts, between.ends
        if point.at < len(text):
            starts[point.at], ends[point.at] = start, max(start, min(point.end, max(following, start)))
            at, time = point.at + 1, ends[point.at]
    return Alignment(tuple(text), tuple(starts), tuple(ends))


def _is_crowded(mended: Alignment, points: Sequence[_Point]) -> bool:
    """Whether many letters that have no times of their own are left with next to no time."""
    timed = [-1, *(point.at for point in points), len(mended.characters)]
    for before, after in pairwise(timed):
        letters = sum(letter.isalnum() for letter in mended.characters[before + 1 : after])
        if letters >= MANY_LETTERS and mended.ends[after - 1] - mended.starts[before + 1] < FASTEST_LETTER * letters:
            return True
    return False
