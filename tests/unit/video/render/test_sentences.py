"""Where a page of captions, and a part of the speech, may end."""

from __future__ import annotations

from itertools import pairwise

import pytest

from functions.video.render.script_chunks import word_spans
from functions.video.render.sentences import ends_sentence


def sentences(text: str) -> list[str]:
    """The text cut where a sentence ends."""
    cuts = [0, *(last for _, last in word_spans(text) if ends_sentence(text, last)), len(text)]
    pieces = [text[first:last].strip() for first, last in pairwise(cuts)]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    "text",
    [
        "J. R. R. Tolkien wrote it.",
        "The U.S. Army met at 5 p.m. Eastern.",
        "Mr. Smith, Dr. Jones and Prof. Lee met Gen. Grant.",
        "Acme Inc. Employees and Bell Co. Workers left.",
        "On Jan. 5 and Dec. Fridays.",
        "See No. 5, Fig. 3 and Vol. 2.",
        "Am 29. Juli kam er, am 3. Tag ging er.",
        "Der 2. Weltkrieg, das 19. Jahrhundert.",
        "Am 29. 7. 1914 begann es.",
        "Wasser, z. B. Regen, d. h. Leben, z.B. Tau.",
        "Vive M. Dupont, p. ej. Madrid, EE. UU. y Sra. Ruiz.",
        "Her Ph.D. Thesis cost approx. 5 Mio. Euro.",
    ],
)
def test_abbreviations_initials_and_ordinals_end_no_sentence(text: str) -> None:
    assert sentences(text) == [text]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1. Preheat. 2. Mix it.\n3. Bake.", ["1. Preheat.", "2. Mix it.", "3. Bake."]),
        ("Did he come? No. He was late.", ["Did he come?", "No.", "He was late."]),
        ("He is 12. She is 13.", ["He is 12.", "She is 13."]),
        ("It was 1945. Then came peace.", ["It was 1945.", "Then came peace."]),
        ("He sat. She stood.", ["He sat.", "She stood."]),
        ("Wait... What? Yes!", ["Wait...", "What?", "Yes!"]),
        ("Live in the U.S.\n\nOr not.", ["Live in the U.S.", "Or not."]),
        # The last letter of a word stands after a vowel sign, which is no letter.
        ("It is बारिश. Or கடல். So be it.", ["It is बारिश.", "Or கடல்.", "So be it."]),
    ],
)
def test_what_is_the_end_of_a_sentence_stays_one(text: str, expected: list[str]) -> None:
    assert sentences(text) == expected
