"""Phrases: where a reader would break text that has no blanks between words.

Japanese, Chinese and Thai are broken by BudouX's models; Lao, Khmer and Myanmar, for which it has none, after every few
syllables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from functions.video.render.scripts import han_face, is_ignorable, is_mark, script_of

if TYPE_CHECKING:
    import budoux

_SYLLABIC = "\u0e80-\u0eff\u1000-\u109f\u1780-\u17ff"  # Lao, Myanmar, Khmer
_KANA = "\u3040-\u30ff"
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
UNSPACED = re.compile(f"[\u0e00-\u0e7f{_SYLLABIC}{_KANA}{_HAN}]")
_THAI = re.compile("[\u0e00-\u0e7f]")
_HAN_OR_KANA = re.compile(f"[{_KANA}{_HAN}]")
_MODELS = {"JP": "ja", "SC": "zh-hans", "TC": "zh-hant", "HK": "zh-hant"}

_FEW, _MOST = 4, 8  # letters: single ones are joined to no more than the one, and no phrase has more than the other
_NARROW = 0.6  # of a Han sign: how wide other letters are
# The rules of Japanese and Chinese lines (JLREQ 3.1.7 and 3.1.8), signs before amounts, and the vowels that Thai and
# Lao write before the consonant.
_NEVER_LAST = "\uff08「『【“\u2018《〈\u3014\uff3b([{$¥€£\u0e40\u0e41\u0e42\u0e43\u0e44\u0ec0\u0ec1\u0ec2\u0ec3\u0ec4"
_NEVER_FIRST = (
    "、。\uff0c\uff0e・\uff1a\uff1b\uff01\uff1f\uff09」』】”\u2019》〉\u3015\uff3d…‥ー々ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ%‰℃)]},.!?:;"
    "\u0e30\u0e32\u0e33\u0e45\u0e46\u0e2f\u0eb0\u0eb2\u0eb3\u0ec6\u0eaf\u200b"
)
_SENTENCE_ENDS = "。\uff01\uff1f"
_CLOSERS = "」』】”\u2019》〉\u3015\uff3d\uff09)"
_BLANK_OF_NO_WIDTH = "\u200b"  # which writers of Khmer and others put between words
_STACKERS = "\u1039\u17d2"  # the letter after one is written below the letter before it
_CLOSES_SYLLABLE = "\u103a\u1039"  # after a consonant of Myanmar


def split_phrases(text: str) -> list[tuple[int, int]]:
    """First and last (exclusive) character of each phrase of a text without blanks; together they are all of it."""
    ends = [at for at in range(1, len(text)) if _ends_phrase(text, at)]
    phrases: list[tuple[int, int]] = []
    for first, last in pairwise([0, *ends, len(text)]):
        cuts = [at for at in _suggest_cuts(text[first:last]) if _may_cut(text[first:last], at)]
        pieces = [(first + begin, first + end) for begin, end in pairwise([0, *cuts, last - first])]
        phrases += [part for piece in _join_short(text, pieces) for part in _split_long(text, *piece)]
    return phrases


def _ends_phrase(text: str, at: int) -> bool:
    """Whether a phrase ends here whatever a model says: after a sentence, or a blank of no width."""
    if text[at - 1] == _BLANK_OF_NO_WIDTH:
        return text[at] != _BLANK_OF_NO_WIDTH
    before = text[:at].rstrip(_CLOSERS)[-1:]
    return before in tuple(_SENTENCE_ENDS) and text[at] not in _CLOSERS and _may_cut(text, at)


def _suggest_cuts(text: str) -> list[int]:
    """Where a new phrase may begin: by a model, else before every letter."""
    if _HAN_OR_KANA.search(text):
        name = _MODELS.get(han_face(text), "ja")
    elif _THAI.search(text):
        name = "th"
    else:
        return _group_syllables(text)
    return list(accumulate(map(len, _parser(name).parse(text))))[:-1]


def _group_syllables(text: str) -> list[int]:
    """Cuts after every few letters of a writing system that no model knows, none within a syllable's sign."""
    cuts, begin = [], 0
    for at in range(1, len(text)):
        if _count_letters(text[begin:at]) >= _FEW and _may_cut(text, at):
            cuts.append(at)
            begin = at
    return cuts


def _may_cut(text: str, at: int) -> bool:
    """Whether a line may end before this character."""
    before, after = text[at - 1], text[at]
    if is_mark(after) or (is_ignorable(after) and not after.isspace()) or before == "\u200d":
        return False
    if before in _NEVER_LAST or before in _STACKERS or after in _NEVER_FIRST:
        return False
    if text[at + 1 : at + 2] in tuple(_CLOSES_SYLLABLE):
        return False
    if before.isdigit():  # a number stays with its unit
        return not after.isalnum()
    if before in ".," and after.isdigit():
        return not text[:at].rstrip(".,")[-1:].isdigit()
    return not (before.isalnum() and after.isalnum()) or bool(UNSPACED.match(before) or UNSPACED.match(after))


def _join_short(text: str, pieces: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pieces; those of one letter with the piece before them, or else after them, while that stays short. A lone
    sign that is no word anywhere but in Chinese and Japanese is joined in any case."""
    result: list[tuple[int, int]] = []
    for first, last in pieces:
        if result:
            counts = [_count_letters(text[begin:end]) for begin, end in (result[-1], (first, last))]
            lone = [_is_lone(text[begin:end]) for begin, end in (result[-1], (first, last))]
            if any(lone) or (min(counts) <= 1 and sum(counts) <= _FEW):
                result[-1] = (result[-1][0], last)
                continue
        result.append((first, last))
    return result


def _is_lone(piece: str) -> bool:
    return len(piece) == 1 and not _HAN_OR_KANA.match(piece)


def _split_long(text: str, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The piece, or its parts where a line has no room for it: cut near the middle, best where the kind of letter
    changes."""
    options = [at for at in range(first + 1, last) if _may_cut(text[first:last], at - first)]
    if _room(text[first:last]) <= _MOST or not options:
        yield first, last
        return

    def cost(at: int) -> float:
        unevenness = abs(_room(text[first:at]) - _room(text[at:last]))
        return unevenness - (_MOST / 2 if _kind(text[at - 1]) != _kind(text[at]) else 0.0)

    cut = min(options, key=cost)
    yield from _split_long(text, first, cut)
    yield from _split_long(text, cut, last)


def _count_letters(text: str) -> int:
    return sum(each.isalnum() for each in text)


def _room(text: str) -> float:
    return sum(1.0 if _HAN_OR_KANA.match(each) else _NARROW for each in text if not is_mark(each))


def _kind(letter: str) -> str:
    """The writing system, with Han for none."""
    return script_of(letter) or "Hani"


@cache
def _parser(name: str) -> budoux.Parser:
    import budoux

    load = {
        "ja": budoux.load_default_japanese_parser,
        "zh-hans": budoux.load_default_simplified_chinese_parser,
        "zh-hant": budoux.load_default_traditional_chinese_parser,
        "th": budoux.load_default_thai_parser,
    }
    return load[name]()
