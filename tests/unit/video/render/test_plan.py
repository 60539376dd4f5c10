"""The plan as arithmetic on frames."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.video.render.plan import lay_out
from functions.video.values import FPS, SearchResult, VoiceOver, Word
from layers.core.errors import NoFootage
from tests.unit.video.scripts import search_result, speak, voice_over


def voice_of(seconds: float, *words: Word) -> VoiceOver:
    return VoiceOver("work/voice/1.flac", seconds, words, True)


@st.composite
def voices(draw: st.DrawFn) -> VoiceOver:
    now, words = 0.0, []
    for number in range(draw(st.integers(0, 60))):
        now += draw(st.floats(0, 1))
        end = now + draw(st.floats(0.01, 1.5))
        words.append(Word("word", now, end, number * 5, number * 5 + 4, draw(st.booleans())))
        now = end
    return voice_of(now + draw(st.floats(0.01, 2)), *words)


@given(voices(), st.lists(st.floats(2, 40), min_size=1, max_size=20), st.integers(1, 5))
def test_any_voice_is_covered_exactly_and_no_footage_shows_twice(
    voice: VoiceOver, lengths: list[float], most: int
) -> None:
    everything = search_result(*lengths)
    plan = lay_out(voice, everything, most_clips=most)
    assert (plan.frames - 1) / FPS < voice.seconds + 1e-6
    assert plan.frames / FPS >= voice.seconds - 1e-6
    now = 0
    for index, segment in enumerate(plan.segments):
        assert (segment.index, segment.first_frame) == (index, now)
        assert segment.frames > 0
        now += segment.frames
    assert now == plan.frames
    repeated = any(segment.frames > segment.footage.seconds * FPS for segment in plan.segments)
    assert not (repeated and plan.spares), "footage begins anew although some was never shown"
    shown = [segment.footage.id for segment in plan.segments]
    spare = [each.id for each in plan.spares]
    assert len({*shown, *spare}) == len(shown) + len(spare) == min(len(lengths), len(shown) + 10)


@given(voices(), st.lists(st.floats(40, 60), min_size=1, max_size=20), st.integers(1, 5))
def test_footage_that_is_long_enough_has_one_clip_each_up_to_the_limit(
    voice: VoiceOver, lengths: list[float], most: int
) -> None:
    whole = replace(voice, seconds=min(voice.seconds, 40.0))
    assert len(lay_out(whole, search_result(*lengths), most_clips=most).segments) <= most


def test_twenty_seconds_are_a_few_clips_of_like_length() -> None:
    words = speak("word " * 75, letter=0.053)
    plan = lay_out(voice_of(20.0, *words), search_result(*[30.0] * 12))
    assert 3 <= len(plan.segments) <= 5
    lengths = [segment.frames / FPS for segment in plan.segments]
    assert min(lengths) >= 2.5
    assert max(lengths) / min(lengths) < 1.3


@pytest.mark.parametrize(("seconds", "clips"), [(0.4, 1), (4.0, 1), (5.5, 2), (8.5, 3), (11.0, 4), (60.0, 6)])
def test_clips_are_at_least_two_and_a_half_seconds_long_where_the_voice_allows(seconds: float, clips: int) -> None:
    count = math.ceil(seconds / 0.25)
    words = [Word("a", i * seconds / count, (i + 1) * seconds / count, 2 * i, 2 * i + 1) for i in range(count)]
    plan = lay_out(voice_of(seconds, *words), search_result(*[90.0] * 9))
    assert len(plan.segments) == clips
    assert all(segment.frames >= 75 for segment in plan.segments) or clips == 1


def test_cuts_fall_at_the_ends_of_sentences() -> None:
    voice = voice_over()
    plan = lay_out(voice, search_result(*[30.0] * 6))
    sentences = {round(word.end * FPS) for word in voice.words if word.ends_sentence}
    cuts = {segment.first_frame for segment in plan.segments[1:]}
    assert len(cuts) >= 2
    assert cuts <= sentences


def test_cuts_of_one_long_sentence_fall_at_commas_else_at_words() -> None:
    for text, allowed in (("we go on, and on, " * 12, ","), ("we go on and on " * 12, "")):
        voice = voice_over(text)
        ends = {round(word.end * FPS) for word in voice.words if word.text.endswith(allowed)}
        plan = lay_out(voice, search_result(*[30.0] * 6))
        assert len(plan.segments) >= 3
        assert {segment.first_frame for segment in plan.segments[1:]} <= ends


def test_a_voice_without_words_is_cut_evenly() -> None:
    plan = lay_out(voice_of(12.0), search_result(*[30.0] * 6))
    assert [segment.frames for segment in plan.segments] == [90, 90, 90, 90]


def test_whole_seconds_get_no_frame_too_many() -> None:
    assert lay_out(voice_of(0.1 * 3), search_result(9.0)).frames == 9
    assert lay_out(voice_of(3.0 + 1 / 44_100), search_result(9.0)).frames == 91


def test_footage_too_short_for_its_slot_waits_and_the_best_comes_first() -> None:
    plan = lay_out(voice_of(9.0), search_result(2.0, 30.0, 30.0, 2.5, 30.0, 30.0))
    assert [segment.footage.id for segment in plan.segments] == ["pexels:2", "pexels:3", "pexels:5"]
    assert [each.id for each in plan.spares] == ["pexels:1", "pexels:4", "pexels:6"]


def test_where_all_is_short_the_longest_show() -> None:
    plan = lay_out(voice_of(15.0), search_result(2.0, 2.5, 2.2))
    assert [segment.footage.id for segment in plan.segments] == ["pexels:2", "pexels:3", "pexels:1"]
    assert plan.spares == ()


def test_a_slot_longer_than_its_footage_goes_on_with_a_spare() -> None:
    """Five slots of 34 seconds: fifteen footages of 12 seconds are enough for all of it."""
    voice = voice_over("The sea is old and calm and wide, and nobody has ever seen all of it. " * 38, letter=0.06)
    assert 165 < voice.seconds < 176

    plan = lay_out(voice, search_result(*[12.0] * 15))

    assert all(segment.frames <= 12 * FPS for segment in plan.segments)
    assert all(segment.frames >= 2.5 * FPS for segment in plan.segments)
    assert len({segment.footage.id for segment in plan.segments}) == len(plan.segments) == 15
    ends = {round(word.end * FPS) for word in voice.words}
    assert {segment.first_frame for segment in plan.segments[1:]} <= ends


def test_it_goes_on_after_a_sentence_where_there_is_footage_enough() -> None:
    voice = voice_over("The sea is old. It is calm today. " * 28, letter=0.06)
    sentences = {round(word.end * FPS) for word in voice.words if word.ends_sentence}

    plan = lay_out(voice, search_result(*[8.0] * 30))

    assert len(plan.segments) > 5
    cuts = {segment.first_frame for segment in plan.segments[1:]}
    assert cuts <= sentences


def test_only_what_no_footage_is_left_for_is_shown_twice() -> None:
    voice = voice_of(60.0)
    plan = lay_out(voice, search_result(*[6.0] * 8))
    assert plan.spares == ()
    assert len(plan.segments) == 8
    assert {segment.frames for segment in plan.segments} == {225}, "each is repeated a little, and none much"


def test_footage_listed_twice_is_one() -> None:
    twice = search_result(20.0)
    plan = lay_out(voice_of(9.0), replace(twice, footage=twice.footage * 3))
    assert len(plan.segments) == 1
    assert plan.spares == ()


def test_no_footage_is_no_plan() -> None:
    with pytest.raises(NoFootage):
        lay_out(voice_of(9.0), SearchResult("nothing", ()))


def test_the_longest_script_is_planned_at_once() -> None:
    voice = voice_over("Never again. " * 400)
    plan = lay_out(voice, search_result(*[90.0] * 40))
    assert len(plan.segments) == 24
    assert len(plan.spares) == 10
