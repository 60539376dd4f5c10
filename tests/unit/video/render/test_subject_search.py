"""Which footage is searched for where a script has many subjects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.render.footage import GENERAL_QUERIES, find
from functions.video.render.search_cache import DAY_SECONDS, RememberedSearches
from functions.video.render.subject_search import MOST_SEARCHES, choose_queries, rank
from functions.video.values import OWN, Footage, Scene, SearchResult, Subject, VideoRequest
from layers.core.errors import NoFootage, RateLimited
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, soon
from tests.unit.video.scripts import footage

SCRIPT = "A farmer opens the gate. Her dog waits beside a lake. Nobody knows why it works, and nobody asks."


class FakeFootageService:
    """A footage service that answers by query and orientation."""

    name = "fake"

    def __init__(self, answer: Callable[[str, str], list[Footage]]) -> None:
        self._answer = answer
        self.searches: list[tuple[str, str]] = []

    def search(
        self, query: str, *, orientation: str, count: int, deadline: object, locale: str | None = None
    ) -> list[Footage]:
        self.searches.append((query, orientation))
        return self._answer(query, orientation)


def has_all(query: str, orientation: str) -> list[Footage]:
    first = sum(query.encode()) * 100
    return [footage(number) for number in range(first, first + 9)]


def search(request: VideoRequest, service: FakeFootageService | None, root: Path) -> SearchResult:
    storage = FolderStorage(root)
    artifacts = ArtifactStore(storage, SETTINGS.outputs_bucket)
    context = step_context(storage, artifacts, root, settings=SETTINGS, request=request, deadline=soon())
    return artifacts.get(find(request, service, context), SearchResult, soon())


def test_each_subject_is_one_search(tmp_path: Path) -> None:
    service = FakeFootageService(has_all)
    result = search(VideoRequest(SCRIPT), service, tmp_path)

    assert sorted(query for query, _ in service.searches) == sorted({each.queries[0] for each in result.subjects})
    assert {each.query for each in result.footage} == {query for query, _ in service.searches}


def test_what_has_no_footage_is_replaced_by_the_next_term(tmp_path: Path) -> None:
    service = FakeFootageService(lambda query, way: [] if query == "lake" else has_all(query, way))
    result = search(VideoRequest("A farmer opens the gate to a lake. A dog barks at a dog."), service, tmp_path)

    searched = [query for query, _ in service.searches]
    assert result.subjects[0].queries == ("lake", "gate", "dog")
    assert (sorted(searched[:2]), searched[-1]) == (["dog", "lake"], "gate")
    assert {each.query for each in result.footage} == {"dog", "gate"}


def test_what_two_queries_have_in_common_is_shared(tmp_path: Path) -> None:
    """Each has the better half of what it names, rather than the first query all of it."""
    pages = ["wet-lake", "a-dog", "old-dog", "deep-lake", "dogs", "lakes"]
    videos = [replace(footage(n), page_url=f"https://p.example/{page}-{n}/") for n, page in enumerate(pages)]
    service = FakeFootageService(lambda query, way: videos)

    result = search(VideoRequest("One. Two.", ("lake", "dog")), service, tmp_path)

    assert all(each.query in each.page_url for each in result.footage)


def test_a_phrase_of_the_callers_becomes_its_noun_and_then_lies_on_its_side(tmp_path: Path) -> None:
    service = FakeFootageService(lambda query, way: has_all(query, way) if way == "landscape" else [])
    result = search(VideoRequest("One. Two.", ("misty forest", "calm sea")), service, tmp_path)

    tries = [(query, way) for query, way in service.searches if "forest" in query]
    assert tries == [("misty forest", "portrait"), ("forest", "portrait"), ("misty forest", "landscape")]
    assert not any(each.general for each in result.footage)


def test_a_wide_video_looks_for_wide_footage_first(tmp_path: Path) -> None:
    service = FakeFootageService(lambda query, way: has_all(query, way) if way == "portrait" or query == "sea" else [])
    search(VideoRequest("One. Two.", ("misty forest", "sea"), aspect="16:9"), service, tmp_path)

    tries = [(query, way) for query, way in service.searches if "forest" in query]
    assert tries == [("misty forest", "landscape"), ("forest", "landscape"), ("misty forest", "portrait")]
    assert ("sea", "portrait") not in service.searches


def test_pixabay_is_asked_the_same_thing_once_in_a_day(tmp_path: Path) -> None:
    """As its terms want it; another script with the same words has the answer that is there."""
    service = FakeFootageService(has_all)
    service.name = "pexels+pixabay"
    artifacts = ArtifactStore(FolderStorage(tmp_path), SETTINGS.outputs_bucket)
    clock = [1000.0]

    def ask(query: str) -> list[Footage]:
        remembered = RememberedSearches(service, artifacts, lambda: clock[0])
        return remembered.search(query, orientation="portrait", count=5, deadline=soon())

    first = ask("sea")
    clock[0] += DAY_SECONDS - 1
    assert ask("sea") == first
    ask("city")
    assert [query for query, _ in service.searches] == ["sea", "city"]
    clock[0] += 1
    ask("sea")
    assert len(service.searches) == 3

    service.searches.clear()
    for script in (SCRIPT, f"{SCRIPT} So we wait."):
        search(VideoRequest(script), service, tmp_path)
    assert len(service.searches) == len(set(service.searches)) > 0


def test_general_words_come_where_a_subject_has_nothing(tmp_path: Path) -> None:
    service = FakeFootageService(lambda query, way: has_all(query, way) if query in GENERAL_QUERIES else [])
    result = search(VideoRequest(SCRIPT), service, tmp_path)

    assert all(each.general for each in result.footage)


def test_nothing_at_all_is_told_without_the_script(tmp_path: Path) -> None:
    with pytest.raises(NoFootage) as raised:
        search(VideoRequest(SCRIPT), FakeFootageService(lambda *_: []), tmp_path)
    assert "farmer" not in raised.value.detail


def test_a_fault_of_one_search_loses_nothing_else(tmp_path: Path) -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        if query == "farmer":
            raise RateLimited
        return has_all(query, orientation)

    assert search(VideoRequest(SCRIPT), FakeFootageService(answer), tmp_path).footage


def test_a_fault_of_all_is_told(tmp_path: Path) -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        raise RateLimited

    with pytest.raises(RateLimited):
        search(VideoRequest(SCRIPT), FakeFootageService(answer), tmp_path)


def test_own_clips_are_not_searched_for(tmp_path: Path) -> None:
    parts = (Scene("Look.", clip="https://my.example/a.mp4"), Scene("And look here."))
    result = search(VideoRequest("Look.\n\nAnd look here.", scenes=parts[:1]), None, tmp_path)

    assert (result.footage, result.searches) == ((), ())
    assert result.subjects[0].own is not None
    assert result.subjects[0].own.source == OWN


def test_searches_for_terms_that_were_found_are_few_and_from_all_of_the_script() -> None:
    subjects = [Subject(5, (f"noun{number}", "topic")) for number in range(40)] + [Subject(5, ("topic",))] * 2
    queries = choose_queries(subjects)

    assert len(queries) == MOST_SEARCHES
    assert queries[0] == "noun0"
    assert int(queries[-2].removeprefix("noun")) > 30
    assert queries[-1] == "topic"


def test_searches_that_the_caller_wants_are_all_made() -> None:
    assert len(choose_queries([Subject(5, (f"wish{number}",)) for number in range(24)])) == 24


def test_footage_whose_page_names_the_query_comes_first() -> None:
    pages = ["woman-smiling-7", "goats-on-a-hill-8", "a-goat-eating-red-berries-9", "red-car-10"]
    results = [replace(footage(n), page_url=f"https://p.example/video/{page}/") for n, page in enumerate(pages)]

    assert [each.id for each in rank(results, "goat berries")] == ["pexels:2", "pexels:1", "pexels:0", "pexels:3"]
