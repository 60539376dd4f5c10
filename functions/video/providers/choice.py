"""The choice of the services that make videos, with the operator's keys and on behalf of one caller."""

from __future__ import annotations

from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.fair_share import SharedFootage, SharedVoice
from functions.video.providers.footage_sources import FootageSources
from functions.video.providers.interfaces import FootageService, VoiceService
from functions.video.providers.keys import ProviderKeys
from functions.video.providers.pexels import HOURLY_REQUESTS, Pexels
from functions.video.providers.pixabay import Pixabay
from functions.video.providers.polly import Polly
from functions.video.services import Services
from layers.core.fair_share import Quota

HOUR, DAY = 3600, 24 * 3600  # seconds
MONTH_DAYS = 30
VOICE_KEY, FOOTAGE_KEY, PIXABAY_KEY = "ELEVENLABS_API_KEY", "PEXELS_API_KEY", "PIXABAY_API_KEY"


def footage_service(services: Services, keys: ProviderKeys, caller: str) -> FootageService:
    """Pexels, and Pixabay for what it has little of, where the operator has a key for it; callers have the limits of
    both in common. Raises KeysMissing."""
    sources: list[FootageService] = []
    if FOOTAGE_KEY in keys or PIXABAY_KEY not in keys:
        pexels = Pexels(services.settings.pexels_url, keys.need(FOOTAGE_KEY))
        sources.append(SharedFootage(pexels, _search_quota(services, keys), caller))
    if PIXABAY_KEY in keys:
        pixabay = Pixabay(services.settings.pixabay_url, keys.need(PIXABAY_KEY))
        quota = services.quota(Pixabay.title, pixabay.REQUESTS, pixabay.REQUESTS_SECONDS)
        sources.append(SharedFootage(pixabay, quota, caller))
    return sources[0] if len(sources) == 1 else FootageSources(sources)


def voice_service(services: Services, keys: ProviderKeys, caller: str) -> VoiceService:
    """ElevenLabs, whose characters are shared where the operator says how many the plan has; Amazon Polly, where there
    is no key for it. Raises KeysMissing."""
    if VOICE_KEY not in keys:
        return Polly()
    service = ElevenLabs(services.settings.elevenlabs_url, keys.need(VOICE_KEY))
    return SharedVoice(service, _character_quota(services, keys), caller)


def voice_traits(keys: ProviderKeys) -> type[ElevenLabs | Polly]:
    """What the voice service can do and costs, without a key."""
    return ElevenLabs if VOICE_KEY in keys else Polly


def choose_voice(keys: ProviderKeys, voice_id: str | None, script: str) -> str:
    """The request's voice, the operator's, or one that the service has for the script's language. Raises
    ProviderRefused where it has none, and InvalidRequest where it does not have that one."""
    traits = voice_traits(keys)
    choice = voice_id or keys.voice_id or traits.default_voice(script)
    traits.check_voice(choice)
    return choice


def check_keys(keys: ProviderKeys, *, needs_footage: bool = True) -> None:
    """Raises KeysMissing where a video could not be made for want of a key."""
    if needs_footage and PIXABAY_KEY not in keys:
        keys.need(FOOTAGE_KEY)


def check_share(
    services: Services, keys: ProviderKeys, caller: str, characters: int, *, needs_footage: bool = True
) -> None:
    """Refuse at once what would otherwise be refused after speech was paid for. Raises AtCapacity or KeysMissing."""
    if needs_footage and FOOTAGE_KEY in keys:
        _search_quota(services, keys).check(caller, 1)
    if VOICE_KEY in keys:
        _character_quota(services, keys).check(caller, characters)


def _search_quota(services: Services, keys: ProviderKeys) -> Quota:
    return services.quota(Pexels.title, keys.number("PEXELS_REQUESTS_AN_HOUR") or HOURLY_REQUESTS, HOUR)


def _character_quota(services: Services, keys: ProviderKeys) -> Quota:
    """A day's part of the month's, so that nobody waits for longer than a day."""
    return services.quota(ElevenLabs.title, keys.number("ELEVENLABS_CHARACTERS_A_MONTH") // MONTH_DAYS, DAY)
