"""Several footage services as one: the next is asked where those before it have little."""

from __future__ import annotations

from collections.abc import Sequence

from functions.video.providers.interfaces import FootageService
from functions.video.values import Footage
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError

FEW = 3  # results, below which the next service is asked


class FootageSources:
    """Services in the order in which they are asked."""

    def __init__(self, services: Sequence[FootageService]) -> None:
        self._services = services
        self.name = "+".join(service.name for service in services)

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """The results of the first service, and of the others as long as there are few. Raises what the first raises
        where no other has anything."""
        results: list[Footage] = []
        failure: ColdswapError | None = None
        for service in self._services:
            try:
                results += service.search(query, orientation=orientation, count=count, deadline=deadline, locale=locale)
            except ColdswapError as error:
                failure = failure or error
            if len(results) >= FEW:
                break
        if failure and not results:
            raise failure
        return results[:count]
