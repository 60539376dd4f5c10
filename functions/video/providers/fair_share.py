"""Services used on behalf of one caller: while others ask too, nobody has more than half of what a service gives."""

from __future__ import annotations

from functions.video.providers.interfaces import FootageService, Payment, VoiceService
from functions.video.render.alignment import Speech
from functions.video.values import Footage, VoiceIdentity
from layers.core.deadline import Deadline
from layers.core.fair_share import Quota


class SharedFootage:
    """A footage service that counts searches."""

    def __init__(self, service: FootageService, quota: Quota, caller: str) -> None:
        self._service, self._quota, self._caller = service, quota, caller
        self.name = service.name

    def search(
        self, query: str, *, orientation: str, count: int, deadline: Deadline, locale: str | None = None
    ) -> list[Footage]:
        """As the service. Raises AtCapacity where this caller has had its share."""
        self._quota.take(self._caller, 1)
        return self._service.search(query, orientation=orientation, count=count, deadline=deadline, locale=locale)


class SharedVoice:
    """A voice service that counts characters."""

    def __init__(self, service: VoiceService, quota: Quota, caller: str) -> None:
        self._service, self._quota, self._caller = service, quota, caller
        self.longest_request, self.obeys_breaks = service.longest_request, service.obeys_breaks

    @property
    def identity(self) -> VoiceIdentity:
        """As the service's."""
        return self._service.identity

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """As the service. Raises AtCapacity where this caller has had its share."""
        self._quota.take(self._caller, len(text))
        return self._service.speak(
            text, voice_id=voice_id, before=before, after=after, deadline=deadline, payment=payment
        )
