"""What a voice service gives for a text, and words out of it with their times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

from functions.video.values import Word

# Scripts that write without blanks between words: Thai, Lao, Myanmar, Khmer, kana, and Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A run between blanks; in unspaced scripts up to four characters, with the punctuation that follows them.
_WORD = re.compile(rf"[{_UNSPACED}]{{1,4}}[^\s\w]*|[^\s{_UNSPACED}]+")
_SENTENCE_END = re.compile(r"[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"'\u201d\u2019\u00bb)\]\u300d\u300f]*$")
_CLAUSE_END = re.compile(r"[,;:\u2013\u2014\u3001\uff0c\uff1b\uff1a\u060c][\"'\u201d\u2019\u00bb)\]]*$")
_SLACK = 0.5  # seconds by which an alignment may go on after the sound ends


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


@dataclass(frozen=True)
class Speech:
    """Sound as an MP3 file, and its alignment if there is one."""

    audio: bytes
    alignment: Alignment | None


def evenly(text: str, seconds: float) -> Alignment:
    """Every character takes the same time."""
    each = seconds / max(len(text), 1)
    places = range(len(text))
    return Alignment(tuple(text), tuple(at * each for at in places), tuple((at + 1) * each for at in places))


def words(text: str, alignment: Alignment, first: int, offset: float, seconds: float) -> list[Word]:
    """The words of a part that begins at character `first` of the script, `offset` seconds into the voice-over, and
    sounds for `seconds`.
    """
    found = []
    for match in _WORD.finditer(text):
        start, end = alignment.starts[match.start()], alignment.ends[match.end() - 1]
        found.append(
            Word(
                text=match[0],
                start=offset + min(start, seconds),
                end=offset + min(max(end, start), seconds),
                first=first + match.start(),
                last=first + match.end(),
                ends_sentence=_ends_sentence(text, match.end()),
            )
        )
    return found


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
    places = [match.end() for match in _WORD.finditer(text, first, last) if match.end() < last or _blank(text, last)]
    for good in (_ends_sentence, _ends_clause):
        if fitting := [at for at in places if good(text, at)]:
            return fitting[-1]
    return places[-1] if places else last


def _ends_sentence(text: str, at: int) -> bool:
    return bool(_SENTENCE_END.search(text, max(0, at - 8), at)) or "\n" in text[at : at + 2]


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
