"""Words that are too long for a line of captions: an address on the web as its host, anything else in parts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from functions.video.values import Word

SMALLEST_SCALE = 0.6  # of the captions' size: a word that would be set smaller is broken over lines
_URL = re.compile(
    r"(?P<before>[\"'(\[\u00ab\u201c\u2018]*)(?:(?:https?|ftp)://)?(?:www\.)?"
    r"(?P<host>(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.){1,8}[^\W\d_]{2,24})(?::\d{1,5})?(?:[/?#].*?)?"
    r"(?P<after>[.,;:!?\u2026\"')\]\u00bb\u201d\u2019]*)"
)
_BREAKS = "-/_.?&=@\u2010\u2013"  # a word may be broken after these without a hyphen
_HYPHEN = "-"


def fit_words(
    words: Sequence[Word], line_width: float, smallest_scale: float, width: Callable[[str], float]
) -> list[Word]:
    """The words with those that are too long for a line shown in another way; `width` gives a text's width in ems.

    What fits a line at `smallest_scale` is left for the caller to set smaller. Parts of a word touch each other in the
    script, and share its time.
    """
    return [part for word in words for part in _fit(word, line_width, smallest_scale, width)]


def _fit(word: Word, line_width: float, smallest_scale: float, width: Callable[[str], float]) -> list[Word]:
    if width(word.text) <= line_width:
        return [word]
    url = _URL.fullmatch(word.text)
    if url:
        word = replace(word, text=url["before"] + url["host"] + url["after"])
    if width(word.text) * smallest_scale <= line_width:
        return [word]
    hyphen = "" if url or _has_wide_letters(word.text) else _HYPHEN
    texts = list(_break(word.text, line_width, width, hyphen))
    return list(_share_time(word, texts, width))


def _has_wide_letters(text: str) -> bool:
    """Whether this is Chinese, Japanese or Korean, which know no hyphens."""
    return any(unicodedata.east_asian_width(letter) in "WF" for letter in text)


def _break(text: str, line_width: float, width: Callable[[str], float], hyphen: str) -> Iterator[str]:
    """Parts of about one length, each as wide as a line at most."""
    while width(text) > line_width:
        even = width(text) / -(-width(text) // (line_width - width(hyphen)))
        at = _last_place(text, even, width)
        marks = [place for place in _places(text) if text[place - 1] in _BREAKS and width(text[:place]) <= line_width]
        if marks and width(text[: marks[-1]]) >= line_width / 2:
            yield text[: marks[-1]]
            text = text[marks[-1] :]
        else:
            yield text[:at] + (hyphen if at < len(text) else "")
            text = text[at:]
    if text:
        yield text


def _last_place(text: str, widest: float, width: Callable[[str], float]) -> int:
    """The last place for a break before which the text is no wider than `widest`; the first place where none is."""
    places = list(_places(text))
    return next((place for place in reversed(places) if width(text[:place]) <= widest + 1e-6), places[0])


def _places(text: str) -> list[int]:
    """Where a text may be broken: not before accents and vowel signs, nor beside joiners. Never empty."""
    return [at for at in range(1, len(text)) if not _is_joined(text, at)] or [len(text)]


def _is_joined(text: str, at: int) -> bool:
    letter = text[at]
    is_tone = "\U0001f3fb" <= letter <= "\U0001f3ff"  # of an emoji's skin
    return is_tone or unicodedata.category(letter)[0] == "M" or "\u200d" in text[at - 1 : at + 1]


def _share_time(word: Word, texts: Sequence[str], width: Callable[[str], float]) -> Iterator[Word]:
    """The word in parts, each with a share of its time."""
    whole = sum(width(text) for text in texts) or 1.0
    start, first = word.start, word.first
    for number, text in enumerate(texts, 1):
        is_last = number == len(texts)
        end = word.end if is_last else start + (word.end - word.start) * width(text) / whole
        last = word.last if is_last else first
        yield Word(text, start, end, first, last, is_last and word.ends_sentence)
        start, first = end, last
