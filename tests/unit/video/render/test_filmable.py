"""What is filmed for a sentence, judged by sentences whose expected terms were written down before the table was."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from functions.video.render.filmable import find_terms

LEAST_USABLE = 0.7
SENTENCES = Path(__file__).parent / "sentences_to_film.txt"


def scripts() -> list[tuple[set[str], list[tuple[str, set[str]]]]]:
    """Topic and sentences of each script, with the words of which one is expected in the first term."""
    text = re.sub(r"^#.*\n", "", SENTENCES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    result = []
    for block in text.strip().split("\n\n"):
        head, *lines = [line.split(" | ") for line in block.splitlines()]
        result.append((set(head[1].split(", ")), [(line, set(words.split(", "))) for line, words in lines]))
    return result


def is_usable(term: str, expected: set[str], topic: set[str]) -> bool:
    """Whether a term has one of the expected words, in the singular or the plural."""
    words = (expected - {"topic"}) | (topic if "topic" in expected else set())
    return any(re.search(rf"\b{re.escape(word.removesuffix('s'))}(s|es)?\b", term) for word in words)


def judge() -> list[tuple[str, str, bool]]:
    """Each sentence, its first term, and whether that is usable."""
    verdicts = []
    for topic, lines in scripts():
        terms = find_terms([line for line, _ in lines])
        for (line, expected), each in zip(lines, terms, strict=True):
            verdicts.append((line, each[0] if each else "", is_usable(each[0] if each else "", expected, topic)))
    return verdicts


def test_most_of_a_hundred_sentences_get_a_usable_term() -> None:
    verdicts = judge()

    assert len(verdicts) == 100
    usable = sum(good for _, _, good in verdicts) / len(verdicts)
    assert usable >= LEAST_USABLE, [(line, term) for line, term, good in verdicts if not good]


def test_an_abstract_sentence_shows_the_topic() -> None:
    terms = find_terms(["The whale sings.", "A whale dives beside a boat.", "Success is never about talent."])
    assert terms[2] == ("whale",)


def test_the_topic_is_the_last_of_every_sentence() -> None:
    terms = find_terms(["A lion sleeps.", "A lion drinks.", "An owl waits on a branch."])
    assert [each[-1] for each in terms] == ["lion"] * 3
    assert terms[2][0] == "owl"


@pytest.mark.parametrize(
    ("sentence", "term"),
    [
        ("We walk through a dark pine forest.", "pine forest"),
        ("The wolves are coming.", "wolves"),
        ("An old lighthouse stands there.", "old lighthouse"),
        ("They fish in the lake.", "lake"),
    ],
)
def test_a_term_is_a_noun_with_what_makes_it_visible(sentence: str, term: str) -> None:
    assert find_terms([sentence])[0][0] == term


def test_nothing_to_show_at_all_is_no_term() -> None:
    assert find_terms(["Success is not about talent.", "It never was."]) == [(), ()]


def test_other_languages_have_their_long_words() -> None:
    (terms,) = find_terms(["Der alte Leuchtturm steht seit langem hier."], english=False)
    assert terms[0] == "Leuchtturm"


def test_words_are_whole_in_scripts_whose_vowels_are_signs() -> None:
    (terms,) = find_terms(["किसान सुबह खिड़की खोलता है।"], english=False)
    assert terms[0] in ("खिड़की", "किसान", "खोलता")
