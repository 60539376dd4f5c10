"""The services with the operator's keys, used on behalf of one caller: while others ask too, nobody has more than half
of what a service gives."""

from __future__ import annotations

from collections.abc import Mapping

from functions.video.providers.client import Payment
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.keys import ProviderKeys
from functions.video.providers.pexels import HOURLY_REQUESTS, Pexels
from functions.video.render.footage import FootageService
from functions.video.render.speech import Speech
from functions.video.render.voice_over import VoiceService
from functions.video.services import Services
from functions.video.values import Footage
from layers.core.deadline import Deadline
from layers.core.fair_share import Quota

HOUR, DAY = 3600, 24 * 3600  # seconds
MONTH_DAYS = 30


def footage_service(services: Services, keys: ProviderKeys, caller: str) -> FootageService:
    """Pexels, whose limit all callers have in common. Raises KeysMissing."""
    service = Pexels(services.settings.pexels_url, keys.need("PEXELS_API_KEY"))
    return SharedFootage(service, _searches(services, keys), caller)


def voice_service(services: Services, keys: ProviderKeys, caller: str) -> VoiceService:
    """ElevenLabs; its characters are shared where the operator says how many the plan has. Raises KeysMissing."""
    service = ElevenLabs(services.settings.elevenlabs_url, keys.need("ELEVENLABS_API_KEY"))
    return SharedVoice(service, _characters(services, keys), caller)


def check_share(services: Services, keys: ProviderKeys, caller: str, characters: int) -> None:
    """Refuse at once what would be refused when speech was paid for already. Raises AtCapacity or KeysMissing."""
    _searches(services, keys).check(caller, 1)
    _characters(services, keys).check(caller, characters)


def _searches(services: Services, keys: ProviderKeys) -> Quota:
    return services.quota("Pexels", keys.number("PEXELS_REQUESTS_AN_HOUR") or HOURLY_REQUESTS, HOUR)


def _characters(services: Services, keys: ProviderKeys) -> Quota:
    """A day's part of the month's, so that nobody waits for longer than a day."""
    return services.quota("ElevenLabs", keys.number("ELEVENLABS_CHARACTERS_A_MONTH") // MONTH_DAYS, DAY)


class SharedFootage:
    """A footage service that counts searches."""

    def __init__(self, service: FootageService, quota: Quota, caller: str) -> None:
        self._service, self._quota, self._caller = service, quota, caller
        self.name = service.name

    def search(self, query: str, *, orientation: str, count: int, deadline: Deadline) -> list[Footage]:
        """As the service. Raises AtCapacity where this caller has had its share."""
        self._quota.take(self._caller, 1)
        return self._service.search(query, orientation=orientation, count=count, deadline=deadline)


class SharedVoice:
    """A voice service that counts characters."""

    def __init__(self, service: VoiceService, quota: Quota, caller: str) -> None:
        self._service, self._quota, self._caller = service, quota, caller
        self.name, self.longest = service.name, service.longest

    @property
    def identity(self) -> Mapping[str, str]:
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
