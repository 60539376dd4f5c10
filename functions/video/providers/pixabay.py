"""Pixabay as a footage service (https://pixabay.com/api/docs/#api_search_videos)."""

from __future__ import annotations

from typing import Any

from functions.video.providers.client import ProviderResponse, send, with_retries
from functions.video.values import Footage, Rendition
from layers.core.deadline import Deadline
from layers.core.errors import KeyRejected, ProviderFailed, ProviderRefused, RateLimited

MOST_PER_PAGE, LEAST_PER_PAGE = 200, 3
MOST_LETTERS = 100  # of a query
MOST_BYTES = 4 << 20  # of a response; 200 videos have about 350 KB
REQUEST_SECONDS = 20.0  # for one search
LANGUAGES = "cs da de en es fr id it hu nl no pl pt ro sk fi sv tr vi th bg ru el ja ko zh"
_SITE = "https://pixabay.com"
_SIZES = ("large", "medium", "small", "tiny")


class Pixabay:
    """Searches with the operator's key, which is part of the query of every request and so never logged or quoted."""

    name, title = "pixabay", "Pixabay"
    REQUESTS, REQUESTS_SECONDS = 100, 60  # of a key, in as many seconds

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def __repr__(self) -> str:
        return f"Pixabay({self._url!r})"

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """Videos for the query, the most relevant first, those of the other orientation left out, which Pixabay cannot
        search by. Raises KeyRejected, RateLimited, ProviderRefused, ProviderFailed or OutOfTime."""
        params = {
            "key": self._key,
            "q": query[:MOST_LETTERS],
            "video_type": "film",
            "safesearch": "true",
            # Few of them stand upright.
            "per_page": str(MOST_PER_PAGE if orientation == "portrait" else max(LEAST_PER_PAGE, count)),
        }
        language = (locale or "").partition("-")[0].replace("nb", "no")
        if language in LANGUAGES.split():
            params["lang"] = language

        def attempt() -> list[Footage]:
            response = send(
                self.title,
                "GET",
                f"{self._url}/api/videos/",
                headers={},
                params=params,
                limit=MOST_BYTES,
                deadline=deadline.sooner(REQUEST_SECONDS),
            )
            _check(response)
            value = response.json()
            hits = value.get("hits") if isinstance(value, dict) else None
            if not isinstance(hits, list):
                raise ProviderFailed("Pixabay answered with something that is not a list of videos.")
            return [footage for hit in hits if (footage := _parse_footage(hit)) and _lies(footage) == orientation]

        return with_retries(attempt, deadline)[:count]


def _check(response: ProviderResponse) -> None:
    """Raise the error for a response without success; those have plain text, with status 400 for a wrong key, too."""
    if response.status == 200:
        return
    if response.status == 429:
        raise RateLimited("The rate limit at Pixabay was reached. Try again later.", **response.retry_after)
    if response.status in (401, 403) or (response.status == 400 and b"API key" in response.body):
        raise KeyRejected(f"Pixabay does not accept PIXABAY_API_KEY (status {response.status}).")
    if response.status in (400, 404, 422):
        raise ProviderRefused(f"Pixabay refused this search (status {response.status}). Try another search_query.")
    raise ProviderFailed(f"Pixabay answered with status {response.status}.")


def _lies(footage: Footage) -> str:
    first = footage.renditions[0]
    return "portrait" if first.width < first.height else "landscape"


def _parse_footage(hit: Any) -> Footage | None:
    """A video of the response; None where something necessary is missing."""
    videos = hit.get("videos") if isinstance(hit, dict) else None
    if not isinstance(videos, dict):
        return None
    renditions = tuple(rendition for size in _SIZES if (rendition := _parse_rendition(videos.get(size))))
    seconds, number = hit.get("duration"), hit.get("id")
    if not renditions or not isinstance(seconds, int | float) or not isinstance(number, int | str):
        return None
    user, user_id = str(hit.get("user") or Pixabay.title), hit.get("user_id")
    return Footage(
        id=f"{Pixabay.name}:{number}",
        seconds=float(seconds),
        page_url=str(hit.get("pageURL") or _SITE),
        photographer=user,
        photographer_url=f"{_SITE}/users/{user}-{user_id}/" if isinstance(user_id, int | str) else _SITE,
        renditions=renditions,
        source=Pixabay.title,
    )


def _parse_rendition(file: Any) -> Rendition | None:
    """A file of a video; None where that size does not exist, which has an empty address."""
    if not isinstance(file, dict):
        return None
    url, width, height, size = (file.get(name) for name in ("url", "width", "height", "size"))
    if not isinstance(url, str) or not url or not isinstance(width, int) or not isinstance(height, int):
        return None
    if min(width, height) < 1:
        return None
    return Rendition(url, width, height, size=size if isinstance(size, int) and size > 0 else None)
