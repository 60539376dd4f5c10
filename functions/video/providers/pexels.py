"""Pexels as a footage service (https://www.pexels.com/api/documentation/#videos-search)."""

from __future__ import annotations

import time
from typing import Any

from functions.video.providers.client import ProviderResponse, ask, with_retries
from functions.video.values import Footage, Rendition
from layers.core.deadline import Deadline
from layers.core.errors import KeyRejected, ProviderFailed, ProviderRefused, QuotaExceeded, RateLimited

HOURLY_REQUESTS = 200  # of a key that Pexels grants nothing more
MOST_PER_PAGE = 80
MOST_BYTES = 4 << 20  # of an answer; 80 videos have about 300 KB
SECONDS = 20.0  # for one search
_HOURLY = 3600.0  # seconds: a limit that ends later than this is the month's


class Pexels:
    """Searches with the operator's key, which goes to the API alone and never to the hosts of the files."""

    name = "pexels"

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def __repr__(self) -> str:
        return f"Pexels({self._url!r})"

    def search(self, query: str, *, orientation: str, count: int, deadline: Deadline) -> list[Footage]:
        """Videos for the query, the most relevant first, as Pexels tells of them; nothing is filtered but nonsense.

        Raises KeyRejected, QuotaExceeded, RateLimited, ProviderRefused, ProviderFailed or OutOfTime.
        """
        params = {"query": query, "orientation": orientation, "per_page": str(min(count, MOST_PER_PAGE))}

        def attempt() -> list[Footage]:
            said = ask(
                "Pexels",
                "GET",
                f"{self._url}/v1/videos/search",
                headers={"Authorization": self._key},
                params=params,
                limit=MOST_BYTES,
                deadline=deadline.sooner(SECONDS),
            )
            _check(said)
            value = said.json()
            videos = value.get("videos") if isinstance(value, dict) else None
            if not isinstance(videos, list):
                raise ProviderFailed("Pexels answered with something that is no list of videos.")
            return [footage for video in videos if (footage := _footage(video))]

        return with_retries(attempt, deadline)


def _check(said: ProviderResponse) -> None:
    """Raises the error of an answer that is none."""
    if said.status == 200:
        return
    if said.status in (401, 403):
        raise KeyRejected(f"Pexels does not accept PEXELS_API_KEY (status {said.status}).")
    if said.status == 429:
        # These headers are promised for good answers only; without them a used-up month looks like a busy hour.
        left, reset = said.headers.get("x-ratelimit-remaining"), said.headers.get("x-ratelimit-reset", "")
        if left == "0" and reset.isdigit() and int(reset) - time.time() > _HOURLY:
            raise QuotaExceeded("The month's quota of requests at Pexels is used up.")
        raise RateLimited("Pexels asks for patience.", **said.patience)
    if said.status in (400, 404, 422):
        raise ProviderRefused(f"Pexels refuses this search (status {said.status}). Try another search_query.")
    raise ProviderFailed(f"Pexels answered with status {said.status}.")


def _footage(video: Any) -> Footage | None:
    """A video of the answer; None where what is needed is missing."""
    if not isinstance(video, dict) or not isinstance(video.get("video_files"), list):
        return None
    renditions = tuple(found for file in video["video_files"] if (found := _rendition(file)))
    seconds, name = video.get("duration"), video.get("id")
    if not renditions or not isinstance(seconds, int | float) or not isinstance(name, int | str):
        return None
    said = video.get("user")
    user: dict[str, Any] = said if isinstance(said, dict) else {}
    return Footage(
        id=f"pexels:{name}",
        seconds=float(seconds),
        page_url=str(video.get("url") or "https://www.pexels.com"),
        photographer=str(user.get("name") or "Pexels"),
        photographer_url=str(user.get("url") or "https://www.pexels.com"),
        renditions=renditions,
    )


def _rendition(file: Any) -> Rendition | None:
    """A file of a video; None for HLS entries and those without a size in pixels or a link."""
    if not isinstance(file, dict) or file.get("quality") == "hls" or file.get("file_type") != "video/mp4":
        return None
    width, height, link = file.get("width"), file.get("height"), file.get("link")
    if not isinstance(width, int) or not isinstance(height, int) or min(width, height) < 1 or not isinstance(link, str):
        return None
    fps, size = file.get("fps"), file.get("size")
    return Rendition(
        url=link,
        width=width,
        height=height,
        fps=float(fps) if isinstance(fps, int | float) else None,
        size=size if isinstance(size, int) and size > 0 else None,
    )
