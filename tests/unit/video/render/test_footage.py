"""Which footage is asked for, which is usable, and which rendition is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

from functions.video.artifacts import ArtifactStore
from functions.video.render.footage import GENERAL, KEPT, find, look, smallest_sufficient
from functions.video.values import Footage, Rendition, SearchResult
from layers.core.errors import KeyRejected, NoFootage, RateLimited
from tests.unit.video.fixtures import SETTINGS, soon, storage, work
from tests.unit.video.scripts import footage

__all__ = ["storage", "work"]

SIZES = [(360, 640), (720, 1280), (1080, 1920), (2160, 3840)]


class Shelf:
    """A footage service that has what it is given, by query and orientation."""

    name = "shelf"

    def __init__(self, answer: Callable[[str, str], list[Footage]]) -> None:
        self._answer = answer
        self.asked: list[tuple[str, str]] = []

    def search(self, query: str, *, orientation: str, count: int, deadline: object) -> list[Footage]:
        self.asked.append((query, orientation))
        return self._answer(query, orientation)


def shelf(has: Mapping[str, list[Footage]], orientation: str = "portrait") -> Shelf:
    return Shelf(lambda query, asked: has.get(query, []) if asked == orientation else [])


def seen(service: Shelf, query: str) -> SearchResult:
    return look(query, service=service, deadline=soon(), settings=SETTINGS)


def several(count: int, first: int = 1) -> list[Footage]:
    return [footage(number) for number in range(first, first + count)]


def test_enough_for_the_phrase_itself_is_one_request() -> None:
    service = shelf({"calm sea": several(7)})
    found = seen(service, " calm  sea ")
    assert service.asked == [("calm sea", "portrait")]
    assert (found.query, [each.id for each in found.footage]) == ("calm sea", [f"pexels:{n}" for n in range(1, 8)])


def test_the_best_are_kept() -> None:
    found = seen(shelf({"sea": several(40)}), "sea")
    assert [each.id for each in found.footage] == [f"pexels:{n}" for n in range(1, KEPT + 1)]


def test_none_twice() -> None:
    found = seen(shelf({"calm sea": several(3) + several(3), "sea": several(6)}), "calm sea")
    assert [each.id for each in found.footage] == [f"pexels:{n}" for n in range(1, 7)]
    assert found.query == "calm sea"


def test_words_go_from_the_front() -> None:
    service = shelf({"sea": several(5)})
    assert seen(service, "calm blue sea").query == "sea"
    assert service.asked == [("calm blue sea", "portrait"), ("blue sea", "portrait"), ("sea", "portrait")]


def test_then_it_may_lie_on_its_side() -> None:
    service = shelf({"calm sea": several(5)}, orientation="landscape")
    assert seen(service, "calm sea").query == "calm sea"
    assert service.asked[-1] == ("calm sea", "landscape")


def test_general_words_come_last() -> None:
    service = shelf({GENERAL[0]: several(2)})
    assert seen(service, "qwxz").query == GENERAL[0]
    assert service.asked[-2:] == [("qwxz", "landscape"), (GENERAL[0], "portrait")]

    little = seen(shelf({"sea": several(2), GENERAL[0]: several(9, first=50)}), "sea")
    assert little.query == "sea"
    assert [each.id for each in little.footage[:3]] == ["pexels:1", "pexels:2", "pexels:50"]


def test_nothing_at_all_is_told_after_a_few_requests() -> None:
    service = shelf({})
    query = " ".join("abcdefghijklmnopqrstuvwxyz")
    with pytest.raises(NoFootage, match="search_query") as raised:
        seen(service, query)
    assert query[:5] not in str(raised.value), "the workflow's history keeps the sentence"
    assert len(service.asked) <= 6


def test_a_fault_after_something_was_found_does_not_lose_it() -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        if query == "calm sea":
            return several(2)
        raise RateLimited

    assert len(seen(Shelf(answer), "calm sea").footage) == 2


@pytest.mark.parametrize("error", [RateLimited, KeyRejected])
def test_a_fault_before_that_is_the_callers(error: type[Exception]) -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        raise error

    with pytest.raises(error):
        seen(Shelf(answer), "sea")


@pytest.mark.parametrize(
    ("seconds", "renditions", "usable"),
    [
        (2.0, [(720, 1280, None)], True),
        (1.9, [(720, 1280, None)], False),
        (9.0, [(360, 640, None)], False),
        (9.0, [(720, 720, None)], False),
        (9.0, [(1280, 720, None)], True),
        (9.0, [(2160, 3840, None)], True),
        (9.0, [(4320, 7680, None)], False),
        (9.0, [(720, 1280, 1 << 40)], False),
        (9.0, [(720, 1280, 1 << 40), (1080, 1920, 5_000_000)], True),
    ],
)
def test_what_cannot_fill_the_frame_within_the_limits_is_left_out(
    seconds: float, renditions: list[tuple[int, int, int | None]], usable: bool
) -> None:
    files = [Rendition(f"https://f/{w}.mp4", w, h, 25.0, size) for w, h, size in renditions]
    service = shelf({"sea": [footage(1, seconds, *files), footage(2)]})
    assert ("pexels:1" in [each.id for each in seen(service, "sea").footage]) is usable


def test_a_rendition_over_the_limits_is_not_offered() -> None:
    files = [Rendition("https://f/a.mp4", 720, 1280, 25.0, 1 << 40), Rendition("https://f/b.mp4", 1080, 1920)]
    (found,) = seen(shelf({"sea": [footage(1, 9.0, *files)]}), "sea").footage
    assert [each.url for each in found.renditions] == ["https://f/b.mp4"]


def test_the_smallest_that_covers_the_frame_is_fetched() -> None:
    files = [Rendition(f"https://f/{w}", w, h) for w, h in reversed(SIZES)]
    assert smallest_sufficient(footage(1, 9.0, *files)).width == 720
    assert smallest_sufficient(footage(1, 9.0, *files), 1000, 1000).width == 1080
    assert smallest_sufficient(footage(1, 9.0, *files), 5000, 5000).width == 2160


def test_of_equal_sizes_the_one_with_fewer_bytes_is_fetched() -> None:
    files = [Rendition(f"https://f/{size}", 720, 1280, 25.0, size) for size in (9, 3, 6)]
    assert smallest_sufficient(footage(1, 9.0, *files)).size == 3


def test_a_search_is_kept(work: ArtifactStore) -> None:
    service = shelf({"sea": several(6)})
    first, again = (find("sea", service=service, work=work, deadline=soon(), settings=SETTINGS) for _ in range(2))
    assert first == again
    assert len(service.asked) == 1
    assert work.get(first, SearchResult, soon()) == seen(service, "sea")
