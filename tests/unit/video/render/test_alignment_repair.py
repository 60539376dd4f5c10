"""Alignments as voice services send them, and the times that are made of them."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.video.render.alignment import Alignment, align_words, estimate_times, join_words, letter_weights
from functions.video.render.alignment_repair import repair
from functions.video.render.captions import lay_out_pages
from functions.video.values import Word

TEXT = (
    "Here is a secret: most people never notice. Wait for it. Then 1,000,000 of them did, all at once.\n"
    "Nobody spoke. And then, slowly, it came back, louder than before, and stayed."
)
END = 12.0  # seconds at which the sound ends


def speak(text: str) -> Alignment:
    """True times: pauses after commas and sentences, and the same time for each letter."""
    weights = [7.0 if letter in ".:," and not after.isdigit() else 1.0 for letter, after in pairwise(text + " ")]
    times = [0.0]
    for weight in weights:
        times.append(times[-1] + weight * END / sum(weights))
    return Alignment(tuple(text), tuple(times[:-1]), tuple(times[1:]))


GOOD = speak(TEXT)


def words(alignment: Alignment | None) -> tuple[list[Word], bool]:
    times, is_exact = repair(alignment, TEXT, 0.0, END)
    return align_words(TEXT, times, 0, 0.0, END), is_exact


def splice(first: int, last: int, characters: str) -> Alignment:
    """The good alignment with other characters in place of some."""
    start, end = GOOD.starts[first], GOOD.starts[last]
    step = (end - start) / max(len(characters), 1)
    return Alignment(
        (*GOOD.characters[:first], *characters, *GOOD.characters[last:]),
        (*GOOD.starts[:first], *(start + at * step for at in range(len(characters))), *GOOD.starts[last:]),
        (*GOOD.ends[:first], *(start + at * step for at in range(1, len(characters) + 1)), *GOOD.ends[last:]),
    )


def shift(first: int, last: int, seconds: float) -> Alignment:
    """The good alignment with some characters at other times."""
    starts = [time + seconds * (first <= at < last) for at, time in enumerate(GOOD.starts)]
    return replace(GOOD, starts=tuple(starts))


LINE_BREAK = TEXT.index("\n")


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(GOOD, id="as it should be"),
        pytest.param(splice(LINE_BREAK, LINE_BREAK + 1, " "), id="line break as a blank"),
        pytest.param(splice(60, 60, "-"), id="one hyphen more"),
        pytest.param(splice(60, 60, " "), id="one blank more"),
        pytest.param(splice(60, 61, ""), id="one character less"),
        pytest.param(splice(16, 17, "\u2014"), id="another sign"),
        pytest.param(splice(62, 71, "1000000"), id="a number written otherwise"),
        pytest.param(shift(40, 41, -0.3), id="a small step back"),
        pytest.param(shift(90, 93, -2.0), id="a large step back"),
        pytest.param(shift(50, 52, 5.0), id="a jump ahead"),
        pytest.param(replace(GOOD, ends=(*GOOD.ends[:-1], 30.0)), id="an end after the sound's"),
        pytest.param(replace(GOOD, starts=(math.nan, *GOOD.starts[1:])), id="a time that is no number"),
        pytest.param(replace(GOOD, ends=GOOD.ends[:-1]), id="one time missing"),
        pytest.param(
            Alignment((TEXT[:9], *TEXT[9:]), (0.0, *GOOD.starts[9:]), (GOOD.ends[8], *GOOD.ends[9:])),
            id="more than a character in one entry",
        ),
    ],
)
def test_times_of_what_agrees_are_kept(sent: Alignment) -> None:
    mended, is_exact = words(sent)

    true, _ = words(GOOD)
    assert is_exact
    for word, expected in zip(mended, true, strict=True):
        assert word.start == pytest.approx(expected.start, abs=0.3), word.text
        assert word.end == pytest.approx(expected.end, abs=0.3), word.text


STOP = TEXT.index(" of them")  # after which the broken services know no times


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(
            replace(
                GOOD,
                starts=tuple(min(time, GOOD.starts[STOP]) for time in GOOD.starts),
                ends=tuple(min(time, GOOD.starts[STOP]) for time in GOOD.ends),
            ),
            id="collapsed into one moment",
        ),
        pytest.param(Alignment(GOOD.characters[:STOP], GOOD.starts[:STOP], GOOD.ends[:STOP]), id="ends early"),
    ],
)
def test_what_has_no_believable_times_is_spread_over_the_rest_and_told(sent: Alignment) -> None:
    mended, is_exact = words(sent)

    true, _ = words(GOOD)
    assert not is_exact
    before = [number for number, word in enumerate(true) if word.last < STOP]
    for number in before:
        assert mended[number].start == pytest.approx(true[number].start, abs=0.01)
    assert mended[-1].end == pytest.approx(END, abs=0.3)
    rest = mended[len(before) + 1 :]
    assert all(word.end - word.start > 0.02 for word in rest)
    assert max(after.start - word.end for word, after in pairwise(rest)) < 0.5
    cues = lay_out_pages(join_words([mended], END + 0.5), scene_ends=[END + 0.5])
    assert all(cue.end - cue.start > 0.1 for cue in cues)
    assert cues[-1].end > END - 0.3, "there are captions as long as there is speech"
    assert max(after.start - cue.end for cue, after in pairwise(cues)) < 0.5


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(None, id="none"),
        pytest.param(Alignment((), (), ()), id="empty"),
        pytest.param(estimate_times("something else, which nobody asked for", END), id="of another text"),
        pytest.param(
            Alignment(GOOD.characters, tuple(t / 3 for t in GOOD.starts), tuple(t / 3 for t in GOOD.ends)),
            id="three times too fast",
        ),
        pytest.param(replace(GOOD, starts=(math.inf,) * len(TEXT)), id="no numbers"),
    ],
)
def test_without_believable_times_all_is_estimate_times_and_told(sent: Alignment | None) -> None:
    times, is_exact = repair(sent, TEXT, 1.0, END)

    assert not is_exact
    assert times == estimate_times(TEXT, END - 1.0, 1.0)


def test_estimated_times_pause_after_sentences_and_clauses_but_not_within_numbers() -> None:
    text = "Ab. Cd, 1,000 ef."
    times = estimate_times(text, 23.0, 1.0)

    lengths = [round(end - start, 3) for start, end in zip(times.starts, times.ends, strict=True)]
    assert [lengths[text.index(". ")], lengths[text.index(", ")]] == [5.0, 3.0]
    assert (lengths[text.index(",000")], lengths[-1]) == (1.0, 1.0)
    assert times.starts[0] == 1.0
    assert times.ends[-1] == pytest.approx(24.0)


@pytest.mark.parametrize(
    ("text", "pauses"),
    [
        ("Ask Dr. Smith. He met J. R. Lee at 5 p.m. on No. 5 St.", {"Smith.": 5.0}),
        ("z. B. am 29. Juli, d. h. bald", {"Juli,": 3.0}),
        (
            "He said: \u201cNo.\u201d She left (at once). Well... yes",
            {"said:": 3.0, "\u201cNo.\u201d": 5.0, "once).": 5.0, "Well...": 3.0},
        ),
        ("A headline\n\nand a text", {"headline": 5.0}),
        ("\u6d77\u3001\u5c71\u3002\u7a7a\u3002", {"\u6d77\u3001": 3.0, "\u5c71\u3002": 5.0}),
    ],
)
def test_estimated_times_pause_where_a_reader_would(text: str, pauses: dict[str, float]) -> None:
    """Abbreviations, initials and ordinals are spoken without a pause."""
    ends = {text.index(word) + len(word) - 1: weight for word, weight in pauses.items()}

    assert {at: weight for at, weight in enumerate(letter_weights(text)) if weight != 1.0} == ends


def test_tags_in_or_missing_from_an_alignment_do_not_matter() -> None:
    text = 'Wait for it. <break time="1.5s" /> Here it comes.'
    masked = text.replace('<break time="1.5s" />', " " * 21)
    plain = speak("Wait for it.  Here it comes.")
    whole = speak(text)

    for sent in (plain, whole):
        times, is_exact = repair(sent, masked, 0.0, END, text)
        assert is_exact
        first, *_, last = align_words(masked, times, 0, 0.0, END)
        assert first.start == 0.0
        assert last.end == pytest.approx(sent.ends[-2])


def test_any_two_texts_are_compared_in_a_moment() -> None:
    """difflib takes five minutes for these."""
    times, is_exact = repair(estimate_times("ab" * 1250, 100.0), "a" * 2500, 0.0, 100.0)
    assert len(times.characters) == 2500
    assert not is_exact or times.starts == tuple(sorted(times.starts))


TIMES = st.floats(allow_nan=True, allow_infinity=True, width=32) | st.floats(-1, 15)


ENTRIES = st.lists(st.tuples(st.text("abc ", max_size=2), TIMES, TIMES), max_size=12)


@given(ENTRIES, st.text("abc ,.", min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_whatever_a_service_sends_words_follow_each_other(entries: list[tuple[str, float, float]], text: str) -> None:
    characters, starts, ends = zip(*entries, strict=True) if entries else ((), (), ())
    times, _ = repair(Alignment(characters, starts, ends), text, 0.0, 5.0)

    spoken = join_words([align_words(text, times, 0, 0.0, 5.5)], 5.5)

    for before, after in pairwise(spoken):
        assert before.start < after.start
        assert before.end <= after.start
    assert all(0 <= word.start < word.end <= 5.5 for word in spoken)
