"""Searches for footage, remembered for a day, as Pixabay asks of whoever uses its API."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from functions.video.artifacts import ArtifactStore
from functions.video.providers.interfaces import FootageService
from functions.video.values import Footage
from layers.core.deadline import Deadline

DAY_SECONDS = 24 * 3600


@dataclass(frozen=True)
class Answer:
    """What a service answered, and when, in seconds of the epoch."""

    at: float
    footage: tuple[Footage, ...]


class RememberedSearches:
    """A footage service that is not asked the same thing twice in a day for one caller; what it answered belongs to the
    task, and is deleted with it."""

    def __init__(self, service: FootageService, artifacts: ArtifactStore, now: Callable[[], float] = time.time) -> None:
        self._service, self._artifacts, self._now = service, artifacts, now
        self.name = service.name

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """As the service."""
        key = self._artifacts.key("search", "json", self.name, query, orientation, count, locale)
        answer = self._artifacts.reuse(key, Answer, deadline)
        if answer is None or self._now() - answer.at >= DAY_SECONDS:
            results = self._service.search(
                query, orientation=orientation, count=count, deadline=deadline, locale=locale
            )
            answer = Answer(self._now(), tuple(results))
            self._artifacts.put(key, answer)
        return list(answer.footage)
