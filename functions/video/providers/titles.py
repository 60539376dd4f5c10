"""The names of voice services as people read them."""

from __future__ import annotations

from functions.video.values import VoiceIdentity

ELEVENLABS, POLLY = "ElevenLabs", "Amazon Polly"
_TITLES = {"elevenlabs": ELEVENLABS, "polly": POLLY}


def title_of(speaker: VoiceIdentity) -> str:
    """The title of the service that spoke."""
    return _TITLES.get(speaker.service, speaker.service)
