"""Which footage is searched for, which is usable, and which rendition is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import CallerContext
from functions.video.render.footage import GENERAL_QUERIES, MOST_FOOTAGE, find, search
from functions.video.render.footage_download import choose_rendition
from functions.video.values import Footage, Rendition, SearchResult, VideoRequest
from layers.core.errors import KeyRejected, NoFootage, RateLimited
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, soon
from tests.unit.video.scripts import footage

SIZES = [(360, 640), (720, 1280), (1080, 1920), (2160, 3840)]


class FakeFootageService:
    """A footage service that answers by query and orientation."""

    name = "fake"

    def __init__(self, answer: Callable[[str, str], list[Footage]]) -> None:
        self._answer = answer
        self.searches: list[tuple[str, str]] = []
        self.locales: list[str | None] = []

    def search(
        self, query: str, *, orientation: str, count: int, deadline: object, locale: str | None = None
    ) -> list[Footage]:
        self.searches.append((query, orientation))
        self.locales.append(locale)
        return self._answer(query, orientation)


def fake_service(has: Mapping[str, list[Footage]], orientation: str = "portrait") -> FakeFootageService:
    return FakeFootageService(lambda query, wish: has.get(query, []) if wish == orientation else [])


def context(root: Path) -> CallerContext:
    storage = FolderStorage(root)
    artifacts = ArtifactStore(storage, SETTINGS.outputs_bucket)
    return step_context(storage, artifacts, root, settings=SETTINGS, request=VideoRequest("", ""), deadline=soon())


def search_for(service: FakeFootageService, query: str) -> SearchResult:
    return search(query, service, context(Path("nothing-is-stored")))


def several(count: int, first: int = 1) -> list[Footage]:
    return [footage(number) for number in range(first, first + count)]


def test_enough_for_the_phrase_itself_is_one_request() -> None:
    service = fake_service({"calm sea": several(7)})
    result = search_for(service, " calm  sea ")
    assert service.searches == [("calm sea", "portrait")]
    assert (result.query, [each.id for each in result.footage]) == ("calm sea", [f"pexels:{n}" for n in range(1, 8)])


def test_the_best_are_kept() -> None:
    result = search_for(fake_service({"sea": several(40)}), "sea")
    assert [each.id for each in result.footage] == [f"pexels:{n}" for n in range(1, MOST_FOOTAGE + 1)]


def test_a_long_script_gets_footage_for_all_of_it() -> None:
    """Each has 12 seconds; of the request's own words there is not enough, so that it is searched for less."""
    service = fake_service({"calm sea": several(7), "sea": several(20, first=8)})
    root = Path("nothing-is-stored")

    brief = search("calm sea", service, context(root), seconds=60)
    assert len(brief.footage) == 7
    lengthy = search("calm sea", service, context(root), seconds=180)
    assert sum(each.seconds for each in lengthy.footage) >= 180
    assert service.searches == [("calm sea", "portrait"), ("calm sea", "portrait"), ("sea", "portrait")]


def test_a_long_script_does_not_get_footage_of_anything() -> None:
    service = fake_service({"sea": several(7), GENERAL_QUERIES[0]: several(30, first=50)})
    result = search("sea", service, context(Path("nothing-is-stored")), seconds=300)
    assert len(result.footage) == 7
    assert not any(each.general for each in result.searches)


def test_scripts_of_other_lengths_share_a_search_unless_they_need_more(tmp_path: Path) -> None:
    service = fake_service({"sea": several(40)})
    keys = [
        find(VideoRequest("x" * characters, "sea"), service, context(tmp_path)) for characters in (10, 800, 4000, 4050)
    ]
    assert keys[0] == keys[1] != keys[2] == keys[3]


def test_none_twice() -> None:
    result = search_for(fake_service({"calm sea": several(3) + several(3), "sea": several(6)}), "calm sea")
    assert [each.id for each in result.footage] == [f"pexels:{n}" for n in range(1, 7)]
    assert result.query == "calm sea"


def test_words_go_from_the_front() -> None:
    service = fake_service({"sea": several(5)})
    assert search_for(service, "calm blue sea").query == "sea"
    assert service.searches == [("calm blue sea", "portrait"), ("blue sea", "portrait"), ("sea", "portrait")]


def test_then_it_may_lie_on_its_side() -> None:
    service = fake_service({"calm sea": several(5)}, orientation="landscape")
    assert search_for(service, "calm sea").query == "calm sea"
    assert service.searches[-1] == ("calm sea", "landscape")


def test_general_words_come_last() -> None:
    service = fake_service({GENERAL_QUERIES[0]: several(2)})
    assert search_for(service, "qwxz").query == GENERAL_QUERIES[0]
    assert service.searches[-2:] == [("qwxz", "landscape"), (GENERAL_QUERIES[0], "portrait")]

    little = search_for(fake_service({"sea": several(2), GENERAL_QUERIES[0]: several(9, first=50)}), "sea")
    assert little.query == "sea"
    assert [each.id for each in little.footage[:3]] == ["pexels:1", "pexels:2", "pexels:50"]


def test_nothing_at_all_is_told_after_a_few_requests() -> None:
    service = fake_service({})
    query = " ".join("abcdefghijklmnopqrstuvwxyz")
    with pytest.raises(NoFootage, match="search_query") as raised:
        search_for(service, query)
    assert query[:5] not in str(raised.value), "the workflow's history keeps the sentence"
    assert len(service.searches) <= 6


def test_what_was_searched_and_found_is_told() -> None:
    """A phrase of which only half has footage, and half of that can be used."""
    service = fake_service({"zeppelin": [footage(1), footage(2, 1.0)], GENERAL_QUERIES[0]: several(9, first=50)})

    result = search_for(service, "xylophone zeppelin")

    assert [(each.query, each.orientation, each.results, each.usable) for each in result.searches] == [
        ("xylophone zeppelin", "portrait", 0, 0),
        ("zeppelin", "portrait", 2, 1),
        ("xylophone zeppelin", "landscape", 0, 0),
        (GENERAL_QUERIES[0], "portrait", 9, 9),
    ]
    assert [each.general for each in result.searches] == [False, False, False, True]
    assert (result.footage[0].query, result.footage[0].general) == ("zeppelin", False)
    assert {(each.query, each.general) for each in result.footage[1:]} == {(GENERAL_QUERIES[0], True)}


@pytest.mark.parametrize(
    ("query", "script", "locales"),
    [
        ("calm sea", "The sea was here first, and it is calm.", {None}),
        ("\u6d77\u6d0b", "", {"zh-CN", None}),
        ("Stra\u00dfe", "", {"de-DE", None}),
        ("\u043c\u043e\u0440\u0435", "", {"ru-RU", None}),
        ("chat sur la plage", "", {"fr-FR", None}),
        ("Strand", "Das Meer ist ruhig, und die Sonne geht auf.", {None, "de-DE"}),
    ],
)
def test_a_query_in_another_language_carries_it(
    query: str, script: str, locales: set[str | None], tmp_path: Path
) -> None:
    service = fake_service({GENERAL_QUERIES[0]: several(9)})

    find(VideoRequest(script, query), service, context(tmp_path))

    assert set(service.locales) == locales
    asked = list(zip(service.searches, service.locales, strict=True))
    assert all(locale is None for (words, _), locale in asked if words in GENERAL_QUERIES), "which are English"
    own = [locale for (words, _), locale in asked if words == query]
    assert own[0] == (None if script else next(iter(locales - {None})))


def test_a_fault_after_something_was_found_does_not_lose_it() -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        if query == "calm sea":
            return several(2)
        raise RateLimited

    assert len(search_for(FakeFootageService(answer), "calm sea").footage) == 2


@pytest.mark.parametrize("error", [RateLimited, KeyRejected])
def test_a_fault_before_that_is_the_callers(error: type[Exception]) -> None:
    def answer(query: str, orientation: str) -> list[Footage]:
        raise error

    with pytest.raises(error):
        search_for(FakeFootageService(answer), "sea")


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
    service = fake_service({"sea": [footage(1, seconds, *files), footage(2)]})
    assert ("pexels:1" in [each.id for each in search_for(service, "sea").footage]) is usable


def test_a_rendition_over_the_limits_is_not_offered() -> None:
    files = [Rendition("https://f/a.mp4", 720, 1280, 25.0, 1 << 40), Rendition("https://f/b.mp4", 1080, 1920)]
    (result,) = search_for(fake_service({"sea": [footage(1, 9.0, *files)]}), "sea").footage
    assert [each.url for each in result.renditions] == ["https://f/b.mp4"]


def test_the_smallest_that_covers_the_frame_is_fetched() -> None:
    files = [Rendition(f"https://f/{w}", w, h) for w, h in reversed(SIZES)]
    assert choose_rendition(footage(1, 9.0, *files)).width == 720
    assert choose_rendition(footage(1, 9.0, *files), 1000, 1000).width == 1080
    assert choose_rendition(footage(1, 9.0, *files), 5000, 5000).width == 2160


def test_of_equal_sizes_the_one_with_fewer_bytes_is_fetched() -> None:
    files = [Rendition(f"https://f/{size}", 720, 1280, 25.0, size) for size in (9, 3, 6)]
    assert choose_rendition(footage(1, 9.0, *files)).size == 3


def test_a_search_is_kept(tmp_path: Path) -> None:
    service = fake_service({"sea": several(6)})
    first, again = (find(VideoRequest("", "sea"), service, context(tmp_path)) for _ in range(2))
    assert first == again
    assert len(service.searches) == 1
    assert context(tmp_path).artifacts.get(first, SearchResult, soon()) == search_for(service, "sea")
