"""A script cut where a reader pauses: into words, and into chunks that are spoken one at a time."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

from functions.video.render.sentences import ends_clause, ends_sentence

# Shorter than any service's limit: a chunk that fails costs less, and every chunk that was paid for is kept.
LONGEST_CHUNK_CHARACTERS = 2_500

# Scripts that write without blanks between words: Thai, Lao, Myanmar, Khmer, kana, and Han.
_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# A run between blanks; in unspaced scripts up to four characters, with the punctuation that follows them.
_WORD = re.compile(rf"[{_UNSPACED}]{{1,4}}[^\s\w{_UNSPACED}]*|[^\s{_UNSPACED}]+")


def chunk_script(script: str, longest_request: int) -> list[tuple[int, int]]:
    """First and last (exclusive) character of each chunk for a service that takes that many characters a request."""
    return split_text(script, min(longest_request, LONGEST_CHUNK_CHARACTERS))


def split_text(text: str, longest: int) -> list[tuple[int, int]]:
    """First and last (exclusive) character of each piece of a text, none of which has more than `longest` characters.

    The cut is after a sentence where there is one, else after a clause, else between words, else anywhere. Blanks
    around a piece belong to no piece.
    """
    pieces: list[tuple[int, int]] = []
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    while start < end:
        cut = end if end - start <= longest else _find_cut(text, start, start + longest)
        pieces.append((start, start + len(text[start:cut].rstrip())))
        start = cut + len(text[cut:end]) - len(text[cut:end].lstrip())
    return pieces


def word_spans(text: str, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
    """First and last (exclusive) character of each word; accents and vowel signs stay with their letter."""
    end = len(text) if last is None else last
    while match := _WORD.search(text, first, end):
        first = match.end()
        while first < end and unicodedata.category(text[first])[0] == "M":
            first += 1
        yield match.start(), first


def _find_cut(text: str, first: int, last: int) -> int:
    word_ends = [end for _, end in word_spans(text, first, last) if end < last or _is_blank(text, last)]
    for is_good in (ends_sentence, ends_clause):
        if good_ends := [end for end in word_ends if is_good(text, end)]:
            return good_ends[-1]
    return word_ends[-1] if word_ends else last


def _is_blank(text: str, at: int) -> bool:
    return at >= len(text) or text[at].isspace()
