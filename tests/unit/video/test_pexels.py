"""What is read from Pexels' answer, and what is left out of it."""

from __future__ import annotations

import pytest

from functions.video.pexels import _footage
from functions.video.values import Footage, Rendition

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


def test_a_video_keeps_its_size_rate_length_and_photographer() -> None:
    rendition = Rendition("https://f/1.mp4", 720, 1280, 25.0, 9)
    assert _footage(VIDEO) == Footage("pexels:7", 12.0, "https://p/7", "Ada", "https://p/@ada", (rendition,))


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
    assert _footage(VIDEO | change) is None


@pytest.mark.parametrize("change", [{"user": None}, {"user": "Ada"}, {"url": None}, {"user": {"name": None}}])
def test_what_only_courtesy_needs_may_be_missing(change: dict[str, object]) -> None:
    found = _footage(VIDEO | change)
    assert found is not None
    assert found.photographer
    assert found.page_url


@pytest.mark.parametrize("change", [{"fps": None}, {"size": None}, {"size": -1}, {"quality": None}])
def test_a_file_may_keep_its_rate_and_size_to_itself(change: dict[str, object]) -> None:
    assert _footage(VIDEO | {"video_files": [FILE | change]})
