"""ElevenLabs as a voice service (https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from functions.video.providers.client import Payment, ProviderResponse, ask, with_retries
from functions.video.render.speech import Alignment, Speech
from layers.core.deadline import Deadline
from layers.core.errors import (
    KeyRejected,
    ProviderFailed,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
    UnreadableMedia,
)

MODEL = "eleven_multilingual_v2"  # its times are exact, unlike eleven_v3's, and it speaks 29 languages
FORMAT = "mp3_44100_128"
LONGEST = 10_000  # characters a request of this model
MOST_BYTES = 64 << 20  # of an answer: an hour of speech in base64
SECONDS = 150.0  # for one request; a part takes half a minute at most
_KEY_CODES = ("invalid_api_key", "needs_authorization", "missing_permissions")  # which also came with status 400
_BUSY_SECONDS = 3.0  # until another of the account's few concurrent requests may have ended


class ElevenLabs:
    """Speaks with the operator's key."""

    name = "elevenlabs"
    longest = LONGEST

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    def __repr__(self) -> str:
        return f"ElevenLabs({self._url!r})"

    @property
    def identity(self) -> Mapping[str, str]:
        """All that decides the sound beside voice and text."""
        return {"service": self.name, "model": MODEL, "format": FORMAT}

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """The text as MP3; `before` and `after` are what is said around it, for its prosody.

        Each request is counted by `payment`, whose errors are raised too. Raises KeyRejected, QuotaExceeded,
        RateLimited, ProviderRefused, ProviderFailed, UnreadableMedia or OutOfTime.
        """
        hints = {"previous_text": before, "next_text": after}
        body = {"text": text, "model_id": MODEL, **{name: hint for name, hint in hints.items() if hint}}

        def attempt() -> Speech:
            said = ask(
                "ElevenLabs",
                "POST",
                f"{self._url}/v1/text-to-speech/{quote(voice_id, safe='')}/with-timestamps",
                headers={"xi-api-key": self._key},
                params={"output_format": FORMAT},
                body=body,
                limit=MOST_BYTES,
                deadline=deadline.sooner(SECONDS),
                payment=payment,
            )
            if not 200 <= said.status < 300:
                raise _refusal(said)
            return _speech(said.json())

        return with_retries(attempt, deadline)


def _speech(value: Any) -> Speech:
    """What a good answer holds. Speech costs money, so what cannot be read is not asked for again."""
    try:
        audio = base64.b64decode(value["audio_base64"], validate=True)
        given = value.get("alignment")
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise UnreadableMedia("ElevenLabs answered with something that is no speech.") from None
    if not audio:
        raise UnreadableMedia("ElevenLabs answered with no sound.")
    try:
        starts, ends = given["character_start_times_seconds"], given["character_end_times_seconds"]
        alignment = Alignment(tuple(map(str, given["characters"])), tuple(map(float, starts)), tuple(map(float, ends)))
    except (KeyError, TypeError, ValueError):
        return Speech(audio, None)
    return Speech(audio, alignment)


def _refusal(said: ProviderResponse) -> Exception:
    """The error of an answer that is none. Of what the service says only its code goes on: it may quote the text."""
    code = _code(said.json())
    named = f"{code}, status {said.status}" if code else f"status {said.status}"
    if code == "quota_exceeded" or said.status == 402:
        return QuotaExceeded("The quota at ElevenLabs is used up.")
    if said.status in (401, 403) or code in _KEY_CODES:
        return KeyRejected(f"ElevenLabs does not accept ELEVENLABS_API_KEY ({named}).")
    if said.status == 429:
        busy = {"retry_after": _BUSY_SECONDS} if code == "concurrent_limit_exceeded" else {}
        return RateLimited(f"ElevenLabs asks for patience ({named}).", **(said.patience or busy))
    if said.status == 408 or said.status >= 500 or said.status < 400:
        return ProviderFailed(f"ElevenLabs did not answer as it should ({named}).")
    return ProviderRefused(f"ElevenLabs refuses this request ({named}). Check voice_id and script_text.")


def _code(value: Any) -> str:
    """The error's code in any of its three shapes: a `code`, an older `status`, or a list of what is invalid."""
    detail = value.get("detail") if isinstance(value, dict) else None
    if isinstance(detail, list):
        detail = {"code": detail[0].get("type") if detail and isinstance(detail[0], dict) else None}
    if not isinstance(detail, dict):
        return ""
    found = detail.get("code") or detail.get("status") or detail.get("type") or ""
    return found if isinstance(found, str) and found.replace("_", "").isalnum() and len(found) < 60 else ""
