"""What to film for each sentence of a script, found without a language model: its nouns that a camera can show.

Abstract sentences have none, and show the topic of the script.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from functions.video.render.scripts import spell_marks

VERSION = 2  # raise it with code below that finds other terms
LEAST_SCORE = 0.55  # of a noun that is worth showing
MOST_TERMS = 3  # of a sentence
SHORTEST_WORD = 5  # letters, where there is no table of the language's nouns
_NEIGHBOURS = 0.15  # what a noun is worth more that has another one or a visible quality before it
_RARE = 0.3  # how much more a noun counts that is in few of the script's sentences

_WORD = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
_IRREGULAR = {
    "calves": "calf",
    "feet": "foot",
    "geese": "goose",
    "halves": "half",
    "hooves": "hoof",
    "knives": "knife",
    "leaves": "leaf",
    "loaves": "loaf",
    "mice": "mouse",
    "oxen": "ox",
    "scarves": "scarf",
    "shelves": "shelf",
    "thieves": "thief",
    "wives": "wife",
    "wolves": "wolf",
}
# Qualities that can be seen, and so make a search better.
_VISIBLE = (
    "ancient autumn black blue broken brown burning busy colorful colourful crowded dark dry dusty empty foggy fresh "
    "frozen golden gray green grey hot misty narrow old orange pink purple rainy red ripe rocky rusty sandy silver "
    "snowy steaming stormy sunny tall tiny tropical white wild wooden yellow young"
)
# After these, a word that may be a verb is one.
_BEFORE_VERB = (
    "i you we they he she it who to will would can could must may might should shall not never always often also "
    "don't doesn't didn't do does did won't can't let's please people"
)


@dataclass(frozen=True)
class _Noun:
    """A noun as the table has it, and where a sentence has it."""

    name: str
    weight: float
    at: int
    phrase: str


def find_terms(sentences: Sequence[str], *, english: bool = True) -> list[tuple[str, ...]]:
    """What to search for to illustrate each sentence, the best first; the topic of all of them is the last.

    A sentence without anything to show has the topic alone. Where nothing in the whole text can be shown, all are
    empty. For languages other than English there is no table, and long words take the place of nouns.
    """
    nouns = [_find_nouns(each) if english else _find_long_words(each) for each in sentences]
    topic = _find_topic(nouns)
    frequency = Counter(name for each in nouns for name in {noun.name for noun in each})
    return [_list_terms(each, frequency, len(sentences), topic) for each in nouns]


def _list_terms(
    nouns: Sequence[_Noun], frequency: Mapping[str, int], sentences: int, topic: str | None
) -> tuple[str, ...]:
    scores: dict[_Noun, float] = {}
    for noun in nouns:
        rarity = 1 + _RARE * math.log(sentences / frequency[noun.name])
        scores[noun] = noun.weight * rarity + (_NEIGHBOURS if " " in noun.phrase else 0.0)
    ordered = [noun for noun in sorted(scores, key=lambda each: -scores[each]) if scores[noun] >= LEAST_SCORE]
    terms = [term for noun in ordered[:MOST_TERMS] for term in (noun.phrase, noun.name)]
    return tuple(dict.fromkeys([*terms[: MOST_TERMS + 1], *([topic] if topic else [])]))


def _find_topic(nouns: Iterable[Sequence[_Noun]]) -> str | None:
    """The noun that the script has most of, each as much as it can be shown; the first among equals."""
    weights: dict[str, float] = {}
    for noun in (noun for each in nouns for noun in each):
        weights[noun.name] = weights.get(noun.name, 0.0) + noun.weight
    return max(weights, key=lambda name: weights[name], default=None)


def _find_nouns(sentence: str) -> list[_Noun]:
    words = [word.lower().replace("\u2019", "'") for word in _WORD.findall(sentence)]
    nouns: list[_Noun] = []
    for at, word in enumerate(words):
        name = _singular(word)
        entry = _table().get(name)
        before = words[at - 1] if at else ""
        follows_noun = bool(nouns) and nouns[-1].at == at - 1
        is_verb = before in _BEFORE_VERB.split() or (follows_noun and word != name)  # I park here; the dog barks
        if entry is None or (entry[1] and is_verb):
            continue
        joins = before in _VISIBLE.split() or (follows_noun and _singular(before) == before)
        if joins and follows_noun:
            nouns.pop()  # what is only the first part of a compound
        nouns.append(_Noun(name, entry[0], at, f"{before} {word}" if joins else word))
    return nouns


def _find_long_words(sentence: str) -> list[_Noun]:
    """The longest words of a sentence in a language without a table; written with a capital, they count more."""
    words = [sentence[match.start() : match.end()] for match in _WORD.finditer(spell_marks(sentence))]
    weights = {
        at: len(word) / 20 + (0.5 if at and word[0].isupper() else 0.0)
        for at, word in enumerate(words)
        if len(word) >= SHORTEST_WORD or not word.isascii()
    }
    return [_Noun(words[at], 0.6 + weight, at, words[at]) for at, weight in weights.items()]


def _singular(word: str) -> str:
    """The form that the table has, where it has one."""
    if word in _table():
        return word
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    word = word.removesuffix("'s")
    candidates = [word]
    if word.endswith("ies"):
        candidates.append(f"{word[:-3]}y")
    if word.endswith("es"):
        candidates.append(word[:-2])
    if word.endswith("s"):
        candidates.append(word[:-1])
    return next((each for each in candidates if each in _table()), word)


@cache
def _table() -> Mapping[str, tuple[float, bool]]:
    """Nouns with their weights, and whether they are verbs as often."""
    table: dict[str, tuple[float, bool]] = {}
    for line in Path(__file__).with_name("filmable.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            weight, _, nouns = line.partition(":")
            table.update({noun.rstrip("*"): (float(weight), noun.endswith("*")) for noun in nouns.split()})
    return table
