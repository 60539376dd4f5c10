"""Pexels: what is asked, every fault told apart, and what is read from an answer."""

from __future__ import annotations

from typing import Any

import pytest

from functions.video.providers import client
from functions.video.providers.pexels import Pexels, _parse_footage
from functions.video.values import Footage, Rendition
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    KeyRejected,
    ProviderFailed,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
)
from local.standins.servers import StandIns
from tests.unit.video.fixtures import pexels, running, soon, standins

__all__ = ["pexels", "running", "standins"]

FAULTS: list[tuple[str, dict[str, Any], type[ColdswapError], int]] = [
    ("rate_limit", {}, RateLimited, 3),
    ("rate_limit", {"headers": False}, RateLimited, 3),
    ("rate_limit", {"retry_after": 60}, RateLimited, 1),
    ("key", {}, KeyRejected, 1),
    ("status", {"status": 400}, ProviderRefused, 1),
    ("status", {"status": 500}, ProviderFailed, 3),
    ("html", {"status": 503}, ProviderFailed, 3),
    ("html", {"status": 200}, ProviderFailed, 3),
    ("unparsable", {}, ProviderFailed, 3),
    ("broken", {"after": 10}, ProviderFailed, 3),
    ("drop", {}, ProviderFailed, 3),
    ("redirect", {"to": "http://127.0.0.1:1/"}, ProviderFailed, 3),
]

FILE = {
    "quality": "hd",
    "file_type": "video/mp4",
    "width": 720,
    "height": 1280,
    "fps": 25,
    "link": "https://f/1.mp4",
    "size": 9,
}
VIDEO = {
    "id": 7,
    "duration": 12,
    "url": "https://p/7",
    "user": {"name": "Ada", "url": "https://p/@ada"},
    "video_files": [FILE],
}


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Seconds that were waited, without waiting."""
    slept: list[float] = []
    monkeypatch.setattr(client.with_retries, "__defaults__", (slept.append, lambda: 1.0))
    return slept


def search(service: Pexels, deadline: Deadline | None = None) -> list[Footage]:
    return service.search("sea", orientation="portrait", count=20, deadline=deadline or soon())


@pytest.mark.parametrize(("fault", "options", "error", "times"), FAULTS)
def test_a_fault_has_its_error_and_is_asked_about_again_where_that_helps(
    pexels: Pexels, standins: StandIns, fault: str, options: dict[str, Any], error: type[ColdswapError], times: int
) -> None:
    standins.fault(f"pexels.{fault}", times=None, **options)
    with pytest.raises(error) as caught:
        search(pexels)
    assert type(caught.value) is error
    assert len(standins.requests_to("pexels")) == times
    assert standins.environment["PEXELS_API_KEY"] not in f"{caught.value}{caught.value.extra}{pexels!r}"


def test_the_key_goes_to_the_api(pexels: Pexels, standins: StandIns) -> None:
    assert search(pexels)
    (recorded,) = standins.requests_to("pexels")
    assert recorded.path == "/v1/videos/search"
    assert recorded.request.headers["authorization"] == standins.environment["PEXELS_API_KEY"]
    assert recorded.request.headers["user-agent"].startswith("Coldswap")
    assert recorded.request.query == {"query": "sea", "orientation": "portrait", "per_page": "20"}


def test_a_language_that_pexels_knows_is_sent(pexels: Pexels, standins: StandIns) -> None:
    for locale in ("de-DE", "he-IL"):
        pexels.search("Meer", orientation="portrait", count=20, deadline=soon(), locale=locale)
    first, second = standins.requests_to("pexels")
    assert first.request.query["locale"] == "de-DE"
    assert "locale" not in second.request.query


@pytest.mark.parametrize(
    ("body", "error"), [(b"<html>Just a moment...</html>", ProviderFailed), (b'{"error": "Forbidden"}', KeyRejected)]
)
def test_a_page_of_the_network_in_front_is_no_word_about_the_key(
    pexels: Pexels, monkeypatch: pytest.MonkeyPatch, body: bytes, error: type[ColdswapError]
) -> None:
    monkeypatch.setattr(
        "functions.video.providers.pexels.send", lambda *_, **__: client.ProviderResponse(403, {}, body)
    )
    with pytest.raises(error):
        search(pexels)


def test_waiting_never_outlasts_the_deadline(pexels: Pexels, standins: StandIns, waits: list[float]) -> None:
    standins.fault("pexels.status", status=429, retry_after=19)
    with pytest.raises(RateLimited):
        search(pexels, Deadline.after(10))
    assert waits == []


def test_a_month_used_up_is_told_from_a_busy_hour(pexels: Pexels, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = {"x-ratelimit-remaining": "0", "x-ratelimit-reset": "99999999999"}
    monkeypatch.setattr(
        "functions.video.providers.pexels.send", lambda *_, **__: client.ProviderResponse(429, headers, b"")
    )
    with pytest.raises(QuotaExceeded):
        search(pexels)
    headers["x-ratelimit-reset"] = "0"
    with pytest.raises(RateLimited):
        search(pexels)


@pytest.mark.parametrize("fault", ["null_sizes", "hls", "none"])
def test_what_cannot_be_judged_is_left_out(pexels: Pexels, standins: StandIns, fault: str) -> None:
    standins.fault(f"pexels.{fault}")
    assert search(pexels) == []
    assert not any(each.url.endswith(".m3u8") for footage in search(pexels) for each in footage.renditions)


def test_a_video_keeps_its_size_rate_length_and_photographer() -> None:
    rendition = Rendition("https://f/1.mp4", 720, 1280, 25.0, 9)
    assert _parse_footage(VIDEO) == Footage(
        "pexels:7", 12.0, "https://p/7", "Ada", "https://p/@ada", (rendition,), "Pexels"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"video_files": None},
        {"video_files": [None, 3, "x", []]},
        {"duration": None},
        {"id": None},
        {"video_files": [FILE | {"width": None}]},
        {"video_files": [FILE | {"height": 0}]},
        {"video_files": [FILE | {"link": None}]},
        {"video_files": [FILE | {"file_type": "application/x-mpegURL"}]},
        {"video_files": [FILE | {"quality": "hls"}]},
    ],
)
def test_a_video_without_what_is_needed_is_left_out(change: dict[str, object]) -> None:
    assert _parse_footage(VIDEO | change) is None


@pytest.mark.parametrize("change", [{"user": None}, {"user": "Ada"}, {"url": None}, {"user": {"name": None}}])
def test_what_only_courtesy_needs_may_be_missing(change: dict[str, object]) -> None:
    footage = _parse_footage(VIDEO | change)
    assert footage is not None
    assert footage.photographer
    assert footage.page_url


@pytest.mark.parametrize("change", [{"fps": None}, {"size": None}, {"size": -1}, {"quality": None}])
def test_a_file_may_keep_its_rate_and_size_to_itself(change: dict[str, object]) -> None:
    assert _parse_footage(VIDEO | {"video_files": [FILE | change]})
