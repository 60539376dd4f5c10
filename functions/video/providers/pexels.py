"""Pexels as a footage service (https://www.pexels.com/api/documentation/#videos-search)."""

from __future__ import annotations

import time
from typing import Any

from functions.video.providers.client import ProviderResponse, send, with_retries
from functions.video.values import Footage, Rendition
from layers.core.deadline import Deadline
from layers.core.errors import KeyRejected, ProviderFailed, ProviderRefused, QuotaExceeded, RateLimited

HOURLY_REQUESTS = 200  # of a key that Pexels grants nothing more
MOST_PER_PAGE = 80
MOST_BYTES = 4 << 20  # of a response; 80 videos have about 300 KB
REQUEST_SECONDS = 20.0  # for one search
LOCALES = (
    *("en-US", "pt-BR", "es-ES", "ca-ES", "de-DE", "it-IT", "fr-FR", "sv-SE", "id-ID", "pl-PL", "ja-JP", "zh-TW"),
    *("zh-CN", "ko-KR", "th-TH", "nl-NL", "hu-HU", "vi-VN", "cs-CZ", "da-DK", "fi-FI", "uk-UA", "el-GR", "ro-RO"),
    *("nb-NO", "sk-SK", "tr-TR", "ru-RU"),
)
_HOUR = 3600.0  # seconds: a limit that ends later than this is the month's


class Pexels:
    """Searches with the operator's key, which goes to the API alone and never to the hosts of the files."""

    name, title = "pexels", "Pexels"

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def __repr__(self) -> str:
        return f"Pexels({self._url!r})"

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """Videos for the query as Pexels describes them, the most relevant first; only malformed ones are left out.

        Raises KeyRejected, QuotaExceeded, RateLimited, ProviderRefused, ProviderFailed or OutOfTime.
        """
        params = {"query": query, "orientation": orientation, "per_page": str(min(count, MOST_PER_PAGE))}
        if locale in LOCALES:
            params["locale"] = locale

        def attempt() -> list[Footage]:
            response = send(
                self.title,
                "GET",
                f"{self._url}/v1/videos/search",
                headers={"Authorization": self._key},
                params=params,
                limit=MOST_BYTES,
                deadline=deadline.sooner(REQUEST_SECONDS),
            )
            _check(response)
            value = response.json()
            videos = value.get("videos") if isinstance(value, dict) else None
            if not isinstance(videos, list):
                raise ProviderFailed("Pexels answered with something that is not a list of videos.")
            return [footage for video in videos if (footage := _parse_footage(video))]

        return with_retries(attempt, deadline)


def _check(response: ProviderResponse) -> None:
    """Raise the error for a response without success."""
    if response.status == 200:
        return
    if response.status == 403 and not isinstance(response.json(), dict):
        raise ProviderFailed(
            "The network in front of Pexels refused the request (status 403), which says nothing about PEXELS_API_KEY."
        )
    if response.status in (401, 403):
        raise KeyRejected(f"Pexels does not accept PEXELS_API_KEY (status {response.status}).")
    if response.status == 429:
        # These headers are promised for successes only; without them a used-up month looks like a busy hour.
        left, reset = response.headers.get("x-ratelimit-remaining"), response.headers.get("x-ratelimit-reset", "")
        if left == "0" and reset.isdigit() and int(reset) - time.time() > _HOUR:
            raise QuotaExceeded("The monthly quota of requests to Pexels is used up.")
        raise RateLimited("The rate limit at Pexels was reached. Try again later.", **response.retry_after)
    if response.status in (400, 404, 422):
        raise ProviderRefused(f"Pexels refused this search (status {response.status}). Try another search_query.")
    raise ProviderFailed(f"Pexels answered with status {response.status}.")


def _parse_footage(video: Any) -> Footage | None:
    """A video of the response; None where something necessary is missing."""
    if not isinstance(video, dict) or not isinstance(video.get("video_files"), list):
        return None
    renditions = tuple(rendition for file in video["video_files"] if (rendition := _parse_rendition(file)))
    seconds, number = video.get("duration"), video.get("id")
    if not renditions or not isinstance(seconds, int | float) or not isinstance(number, int | str):
        return None
    user: Any = video.get("user")
    photographer: dict[str, Any] = user if isinstance(user, dict) else {}
    return Footage(
        id=f"{Pexels.name}:{number}",
        seconds=float(seconds),
        page_url=str(video.get("url") or "https://www.pexels.com"),
        photographer=str(photographer.get("name") or Pexels.title),
        photographer_url=str(photographer.get("url") or "https://www.pexels.com"),
        renditions=renditions,
        source=Pexels.title,
    )


def _parse_rendition(file: Any) -> Rendition | None:
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
