"""A script cut where a reader pauses: into words, and into chunks that are spoken one at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator

from functions.video.render.phrases import UNSPACED, split_phrases
from functions.video.render.sentences import ends_clause, ends_sentence

# Shorter than any service's limit: a chunk that fails costs less, and every chunk that was paid for is kept.
LONGEST_CHUNK_CHARACTERS = 2_500

_RUN = re.compile(r"\S+")


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
    """First and last (exclusive) character of each word, or of each phrase where no blanks are between words."""
    end = len(text) if last is None else last
    for run in _RUN.finditer(text, first, end):
        parts = split_phrases(run[0]) if UNSPACED.search(run[0]) else [(0, len(run[0]))]
        yield from ((run.start() + begin, run.start() + after) for begin, after in parts)


def _find_cut(text: str, first: int, last: int) -> int:
    word_ends = [end for _, end in word_spans(text, first, last) if end < last or _is_blank(text, last)]
    for is_good in (ends_sentence, ends_clause):
        if good_ends := [end for end in word_ends if is_good(text, end)]:
            return good_ends[-1]
    return word_ends[-1] if word_ends else last


def _is_blank(text: str, at: int) -> bool:
    return at >= len(text) or text[at].isspace()
