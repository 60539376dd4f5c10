"""Pixabay's contract, and when it is asked beside Pexels."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from functions.video.providers import client
from functions.video.providers.footage_sources import FootageSources
from functions.video.providers.pixabay import Pixabay
from functions.video.values import Footage
from layers.core.errors import ColdswapError, KeyRejected, ProviderFailed, RateLimited
from local.standins import pixabay as standin
from local.standins.servers import StandIns
from tests.unit.video.fixtures import running, soon, standins
from tests.unit.video.scripts import footage

__all__ = ["running", "standins"]


@pytest.fixture
def pixabay(standins: StandIns) -> Pixabay:
    return Pixabay(standins.pixabay_url, standin.API_KEY)


def test_videos_that_stand_upright_are_told_with_whom_to_credit(pixabay: Pixabay) -> None:
    results = pixabay.search("sea", orientation="portrait", count=5, deadline=soon())

    best = results[0]
    assert best.id.startswith("pixabay:")
    assert (best.source, best.photographer) == ("Pixabay", "coldswap")
    assert best.photographer_url == "https://pixabay.com/users/coldswap-7/"
    assert all(each.width < each.height for result in results for each in result.renditions)
    assert len(results) == 5


def test_videos_on_their_side_are_a_search_of_their_own(pixabay: Pixabay) -> None:
    results = pixabay.search("train", orientation="landscape", count=5, deadline=soon())

    assert results
    assert all(each.width > each.height for result in results for each in result.renditions)


def test_only_films_fit_for_all_are_asked_for_in_the_querys_language(pixabay: Pixabay, standins: StandIns) -> None:
    pixabay.search("s" * 150, orientation="portrait", count=5, deadline=soon(), locale="nb-NO")

    (recorded,) = standins.requests_to("pixabay")
    asked = recorded.request.query
    assert (asked["lang"], asked["video_type"], asked["safesearch"]) == ("no", "film", "true")
    assert len(asked["q"]) == 100


def test_a_size_that_is_missing_is_left_out(pixabay: Pixabay, standins: StandIns) -> None:
    standins.fault("pixabay.no_large")

    results = pixabay.search("sea", orientation="portrait", count=5, deadline=soon())

    assert all(each.url and each.width < 2160 for result in results for each in result.renditions)


@pytest.mark.parametrize(
    ("fault", "error"), [("rate_limit", RateLimited), ("key", KeyRejected), ("unparsable", ProviderFailed)]
)
def test_a_fault_is_told_without_the_key(
    pixabay: Pixabay, standins: StandIns, monkeypatch: pytest.MonkeyPatch, fault: str, error: type[ColdswapError]
) -> None:
    monkeypatch.setattr(client, "TRIES", 1)
    standins.fault(f"pixabay.{fault}", times=None)

    with pytest.raises(error) as raised:
        pixabay.search("sea", orientation="portrait", count=5, deadline=soon())

    assert standin.API_KEY not in raised.value.detail
    assert standin.API_KEY not in repr(pixabay)


class FakeSource:
    """A footage service with these results, or a fault."""

    def __init__(self, name: str, results: Sequence[Footage], fault: ColdswapError | None = None) -> None:
        self.name, self._results, self._fault = name, list(results), fault
        self.asked = 0

    def search(
        self, query: str, *, orientation: str, count: int, deadline: object, locale: str | None = None
    ) -> list[Footage]:
        self.asked += 1
        if self._fault:
            raise self._fault
        return self._results


@pytest.mark.parametrize(("first", "asked", "results"), [(3, 0, 3), (2, 1, 5), (0, 1, 3)])
def test_the_second_source_is_asked_where_the_first_has_little(first: int, asked: int, results: int) -> None:
    one = FakeSource("one", [footage(number) for number in range(first)])
    two = FakeSource("two", [footage(number) for number in range(50, 53)])
    sources = FootageSources([one, two])

    assert len(sources.search("sea", orientation="portrait", count=30, deadline=soon())) == results
    assert two.asked == asked
    assert sources.name == "one+two"


def test_a_fault_of_the_first_is_told_only_where_the_second_has_nothing() -> None:
    broken = FakeSource("one", [], RateLimited())
    sources = FootageSources([broken, FakeSource("two", [footage(1)])])
    assert len(sources.search("sea", orientation="portrait", count=30, deadline=soon())) == 1

    with pytest.raises(RateLimited):
        FootageSources([broken, FakeSource("two", [])]).search("sea", orientation="portrait", count=30, deadline=soon())
