"""What a voice service gives for a text, and words out of it with their times."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from functions.video.values import Word

# Scripts that write without blanks between words: Thai, Lao, Myanmar, Khmer, kana, and Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A run between blanks; in unspaced scripts up to four characters, with the punctuation that follows them.
_WORD = re.compile(rf"[{_UNSPACED}]{{1,4}}[^\s\w{_UNSPACED}]*|[^\s{_UNSPACED}]+")
_ABBREVIATION = re.compile(r"\b(?:mr|mrs|ms|dr|prof|st|vs|e\.g|i\.e)\.\Z", re.IGNORECASE)
_PARAGRAPH = re.compile(r"[^\S\n]*\n[^\S\n]*\n")
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019\u00bb)\]\u300d\u300f]*$")
_CLAUSE_END = re.compile(r"[,;:\u2013\u2014\u3001\uff0c\uff1b\uff1a\u060c][\"'\u201d\u2019\u00bb)\]]*$")
CHARACTERS_A_SECOND = 15.0  # of English at a usual pace, for estimates
_SLACK = 0.5  # seconds by which an alignment may go on after the sound ends


def spoken(text: str) -> float:
    """About how many seconds it takes to say a text."""
    return len(text.strip()) / CHARACTERS_A_SECOND


@dataclass(frozen=True)
class Alignment:
    """When each character of a text is said, in seconds from its start; three lists of one length."""

    characters: tuple[str, ...]
    starts: tuple[float, ...]
    ends: tuple[float, ...]

    def fits(self, text: str, seconds: float) -> bool:
        """Whether these are plausible times of this very text."""
        times = [time for pair in zip(self.starts, self.ends, strict=False) for time in pair]
        return (
            "".join(self.characters) == text
            and len(self.characters) == len(self.starts) == len(self.ends) == len(text)
            and all(isfinite(time) and time >= 0 for time in times)
            and all(before <= after + 1e-6 for before, after in pairwise(self.starts))
            and (not times or max(times) <= seconds + _SLACK)
        )

    def earlier(self, seconds: float) -> Alignment:
        """The same with so much cut off the beginning of the sound."""
        return Alignment(
            self.characters,
            tuple(time - seconds for time in self.starts),
            tuple(time - seconds for time in self.ends),
        )


@dataclass(frozen=True)
class Speech:
    """Sound as an MP3 file, and its alignment if there is one."""

    audio: bytes
    alignment: Alignment | None


def evenly(text: str, seconds: float, begin: float = 0.0) -> Alignment:
    """Every character takes the same time, from `begin` on."""
    times = [begin + at * seconds / max(len(text), 1) for at in range(len(text) + 1)]
    return Alignment(tuple(text), tuple(times[:-1]), tuple(times[1:]))


def words(text: str, alignment: Alignment, first: int, offset: float, seconds: float) -> list[Word]:
    """The words of a part that begins at character `first` of the script, `offset` seconds into the voice-over, and
    sounds for `seconds`.
    """
    found = []
    for begin, after in _spans(text):
        # A pause is told as the time of the punctuation before it: a word lasts from its first letter to its last.
        letters = [at for at in range(begin, after) if text[at].isalnum()] or [begin, after - 1]
        start, end = alignment.starts[letters[0]], alignment.ends[letters[-1]]
        found.append(
            Word(
                text=text[begin:after],
                start=offset + min(max(start, 0.0), seconds),
                end=offset + min(max(end, start, 0.0), seconds),
                first=first + begin,
                last=first + after,
                ends_sentence=_ends_sentence(text, after),
            )
        )
    return found


def _spans(text: str, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) character of each word; no accent or vowel sign is parted from what bears it."""
    end = len(text) if last is None else last
    while match := _WORD.search(text, first, end):
        first = match.end()
        while first < end and unicodedata.category(text[first])[0] == "M":
            first += 1
        yield match.start(), first


def parts(text: str, longest: int) -> list[tuple[int, int]]:
    """Where to cut a text so that no part has more than `longest` characters: first and last (exclusive) character.

    After a sentence where there is one, else after a clause, else between words, else anywhere. Blanks around a part
    belong to none.
    """
    cuts: list[tuple[int, int]] = []
    rest = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    while rest < end:
        at = end if end - rest <= longest else _cut(text, rest, rest + longest)
        cuts.append((rest, rest + len(text[rest:at].rstrip())))
        rest = at + len(text[at:end]) - len(text[at:end].lstrip())
    return cuts


def _cut(text: str, first: int, last: int) -> int:
    places = [after for _, after in _spans(text, first, last) if after < last or _blank(text, last)]
    for good in (_ends_sentence, _ends_clause):
        if fitting := [at for at in places if good(text, at)]:
            return fitting[-1]
    return places[-1] if places else last


def _ends_sentence(text: str, at: int) -> bool:
    if _PARAGRAPH.match(text, at):
        return True
    behind = text[at:].lstrip()[:1]
    return bool(
        _SENTENCE_END.search(text, max(0, at - 8), at)
        and not _ABBREVIATION.search(text, max(0, at - 8), at)
        and not behind.islower()
    )


def _ends_clause(text: str, at: int) -> bool:
    return bool(_CLAUSE_END.search(text, max(0, at - 8), at))


def _blank(text: str, at: int) -> bool:
    return at >= len(text) or text[at].isspace()


def joined_words(parts_of_it: Sequence[list[Word]]) -> tuple[Word, ...]:
    """The words of all parts; the last of the script ends a sentence, whatever its punctuation."""
    whole = [word for part in parts_of_it for word in part]
    return (*whole[:-1], _ending(whole[-1])) if whole else ()


def _ending(word: Word) -> Word:
    return Word(word.text, word.start, word.end, word.first, word.last, ends_sentence=True)
