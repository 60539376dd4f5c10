"""Shots that follow the words: where they are cut, and what they show."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.video.render.clip import candidates
from functions.video.render.plan import lay_out
from functions.video.render.subjects import list_subjects
from functions.video.values import (
    FPS,
    MOST_SHOTS,
    OWN,
    Footage,
    Plan,
    Scene,
    SearchResult,
    Subject,
    VideoRequest,
    VoiceOver,
)
from layers.core.errors import NoFootage
from tests.unit.video.scripts import footage, speak, voice_over

SCRIPT = (
    "A farmer opens the gate before the sun is up. Her dog waits beside the old tractor on the field. "
    "Nobody knows why it works. The train to the city is full of students and their bags. "
    "At night the harbour sleeps under a thick blanket of snow."
)


def stock(*queries: str, each: int = 4, seconds: float = 12.0) -> tuple[Footage, ...]:
    return tuple(
        replace(footage(100 * place + number, seconds), query=query, photographer_url=f"p{number}")
        for place, query in enumerate(queries, 1)
        for number in range(each)
    )


def plan_of(request: VideoRequest, *queries: str, each: int = 4, seconds: float = 12.0) -> tuple[Plan, VoiceOver]:
    voice = voice_over(request.script_text)
    result = SearchResult("", stock(*queries, each=each, seconds=seconds), (), list_subjects(request))
    return lay_out(voice, result), voice


def shown_at(plan: Plan, voice: VoiceOver, word: str) -> str:
    frame = next(each.start for each in voice.words if each.text.startswith(word)) * FPS
    return next(each.footage.query for each in plan.segments if frame < each.first_frame + each.frames)


def test_each_sentence_shows_what_it_is_about() -> None:
    plan, voice = plan_of(VideoRequest(SCRIPT), "farmer", "dog", "train", "harbour")

    assert shown_at(plan, voice, "farmer") == "farmer"
    assert shown_at(plan, voice, "tractor") == "dog"
    assert shown_at(plan, voice, "train") == "train"
    assert shown_at(plan, voice, "harbour") == "harbour"


def test_shots_are_cut_where_sentences_end_and_last_a_few_seconds() -> None:
    plan, voice = plan_of(VideoRequest(" ".join([SCRIPT] * 3)), "farmer", "dog", "train", "harbour", each=9)

    ends = {round(word.end * FPS) for word in voice.words if word.ends_sentence}
    cuts = {each.first_frame for each in plan.segments[1:]}
    assert len(cuts & ends) >= 0.9 * len(cuts)
    assert all(2.5 <= each.frames / FPS <= 6.0 for each in plan.segments)


def test_nothing_is_shown_twice() -> None:
    plan, _ = plan_of(VideoRequest(" ".join([SCRIPT] * 4)), "farmer", "dog", "train", "harbour", each=12)

    ids = [each.footage.id for each in plan.segments]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {each.id for each in plan.spares}


def test_two_shots_in_a_row_are_of_two_photographers() -> None:
    request = VideoRequest(SCRIPT, ("farmer",))
    plan, _ = plan_of(request, "farmer", each=12)

    people = [each.footage.photographer_url for each in plan.segments]
    assert all(one != other for one, other in pairwise(people))


@pytest.mark.parametrize("repeats", [6, 12])
def test_a_long_script_has_at_most_so_many_shots(repeats: int) -> None:
    plan, _ = plan_of(
        VideoRequest(" ".join([SCRIPT] * repeats)), "farmer", "dog", "train", "harbour", each=20, seconds=40.0
    )

    assert MOST_SHOTS / 2 < len(plan.segments) <= MOST_SHOTS


def test_queries_of_a_list_come_in_the_order_of_the_script() -> None:
    queries = ("one", "two", "three", "four", "five")
    plan, _ = plan_of(VideoRequest(SCRIPT, queries), *queries)

    shown = [each.footage.query for each in plan.segments]
    assert shown == sorted(shown, key=queries.index)
    assert {"one", "two", "four", "five"} <= set(shown), "the third sentence is too short for a shot of its own"


def test_a_list_shorter_than_the_script_is_spread_over_it() -> None:
    plan, voice = plan_of(VideoRequest(SCRIPT, ("dawn", "night")), "dawn", "night", each=9)

    assert shown_at(plan, voice, "farmer") == "dawn"
    assert shown_at(plan, voice, "harbour") == "night"


def test_a_list_longer_than_the_script_is_spread_over_its_words() -> None:
    subjects = list_subjects(VideoRequest("One two three four.", ("a", "b")))
    assert [(each.words, each.queries) for each in subjects] == [(2, ("a",)), (2, ("b",))]


def scenes() -> VideoRequest:
    parts = (
        Scene("This is our new shop in the old harbour.", clip="https://my.example/shop.jpg"),
        Scene("We roast coffee, and we bake bread every morning.", "coffee beans"),
        Scene("Come and see."),
        Scene("A boat takes you there.", clip="https://my.example/boat.mp4"),
    )
    return VideoRequest("\n\n".join(scene.text for scene in parts), scenes=parts)


def test_a_scene_shows_its_own_clip_for_as_long_as_it_is_spoken() -> None:
    plan, voice = plan_of(scenes(), "coffee beans", "shop", "boat")

    first, *_, last = plan.segments
    assert first.footage.page_url == "https://my.example/shop.jpg"
    assert last.footage.page_url == "https://my.example/boat.mp4"
    end = next(word.end for word in voice.words if word.text == "harbour.")
    assert first.frames == round(end * FPS)
    assert shown_at(plan, voice, "coffee") == "coffee beans"
    assert plan.frames == sum(each.frames for each in plan.segments)


def test_own_clips_have_no_substitute_and_are_none() -> None:
    plan, _ = plan_of(scenes(), "coffee beans", "shop", "boat")

    for segment in plan.segments:
        tried = candidates(segment, plan)
        if segment.footage.source == OWN:
            assert tried == [segment.footage]
        else:
            assert OWN not in {each.source for each in tried}


def test_a_clip_that_breaks_is_replaced_by_the_same_subject() -> None:
    plan, _ = plan_of(VideoRequest(SCRIPT), "farmer", "dog", "train", "harbour")

    spares = [each.id for segment in plan.segments for each in candidates(segment, plan)[1:]]
    assert len(set(spares)) == len(spares), "no two segments share one"
    for segment in plan.segments:
        assert [each.query for each in candidates(segment, plan)][:2] == [segment.footage.query] * 2


def test_a_video_of_own_clips_alone_needs_no_footage() -> None:
    parts = tuple(Scene(f"Number {n} of my clips.", clip=f"https://my.example/{n}.mp4") for n in range(3))
    request = VideoRequest("\n\n".join(part.text for part in parts), scenes=parts)

    plan, _ = plan_of(request)

    assert [each.footage.page_url[-5:] for each in plan.segments] == ["0.mp4", "1.mp4", "2.mp4"]


def test_without_any_footage_there_is_no_plan() -> None:
    with pytest.raises(NoFootage):
        lay_out(voice_over(), SearchResult("", (), (), (Subject(1, ("sea",)),)))


@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=40),
    st.lists(st.floats(2, 40), min_size=1, max_size=30),
    st.booleans(),
)
def test_any_subjects_cover_the_voice_exactly(lengths: list[int], seconds: list[float], has_scenes: bool) -> None:
    text = " ".join(" ".join(["word"] * length) + "." for length in lengths)
    words = speak(text)
    voice = VoiceOver("", words[-1].end + 0.3, words, True)
    subjects = tuple(Subject(length, (f"q{length}", "q1"), ends_scene=has_scenes) for length in lengths)
    videos = tuple(replace(footage(n, each), query=f"q{n % 13}") for n, each in enumerate(seconds))

    plan = lay_out(voice, SearchResult("", videos, (), subjects))

    now = 0
    for segment in plan.segments:
        assert (segment.first_frame, segment.frames > 0) == (now, True)
        now += segment.frames
    assert now == plan.frames
    ids = [each.footage.id for each in plan.segments]
    assert len(set(ids)) == len(ids)
