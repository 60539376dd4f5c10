"""ElevenLabs as a voice service (https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps)."""

from __future__ import annotations

import base64
import binascii
from typing import Any
from urllib.parse import quote

from functions.video.providers.client import ProviderResponse, send, with_retries
from functions.video.providers.interfaces import Payment
from functions.video.providers.titles import ELEVENLABS
from functions.video.render.alignment import Alignment, Speech
from functions.video.values import VoiceIdentity
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
DEFAULT_VOICE = "JBFqnCBsd6RMkjVDRZzb"  # "George", of the examples in the documentation
FORMAT = "mp3_44100_128"
API_REQUEST_CHARACTERS = 10_000  # the API's own limit for this model; scripts are sent in smaller chunks
MOST_BYTES = 64 << 20  # of a response: an hour of speech in base64
REQUEST_SECONDS = 150.0  # for one request; a chunk takes half a minute at most
_KEY_CODES = ("invalid_api_key", "needs_authorization", "missing_permissions")  # which also came with status 400
_UNUSUAL_ACTIVITY = "detected_unusual_activity"
_BUSY_SECONDS = 3.0  # until another of the account's few concurrent requests may have ended


class ElevenLabs:
    """Speaks with the operator's key."""

    title = ELEVENLABS
    longest_request = API_REQUEST_CHARACTERS
    obeys_breaks = True  # the only tag that this model takes; others would be read aloud
    identity = VoiceIdentity("elevenlabs", MODEL, FORMAT)

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._key = key

    @staticmethod
    def price(characters: int) -> float | None:
        """None: it depends on the operator's plan."""
        return None

    @staticmethod
    def check_voice(voice_id: str) -> None:
        """Nothing: only the account knows its voices."""

    @staticmethod
    def default_voice(text: str) -> str:
        """A voice that speaks any language."""
        return DEFAULT_VOICE

    def __repr__(self) -> str:
        return f"ElevenLabs({self._url!r})"

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """The text as MP3; `before` and `after` are the texts around it, for its prosody.

        Each request is counted by `payment`, whose errors are raised too. Raises KeyRejected, QuotaExceeded,
        RateLimited, ProviderRefused, ProviderFailed, UnreadableMedia or OutOfTime.
        """
        hints = {"previous_text": before, "next_text": after}
        body = {"text": text, "model_id": MODEL, **{name: hint for name, hint in hints.items() if hint}}

        def attempt() -> Speech:
            response = send(
                self.title,
                "POST",
                f"{self._url}/v1/text-to-speech/{quote(voice_id, safe='')}/with-timestamps",
                headers={"xi-api-key": self._key},
                params={"output_format": FORMAT},
                body=body,
                limit=MOST_BYTES,
                deadline=deadline.sooner(REQUEST_SECONDS),
                payment=payment,
            )
            if not 200 <= response.status < 300:
                raise _error(response)
            return _parse_speech(response.json())

        return with_retries(attempt, deadline)


def _parse_speech(value: Any) -> Speech:
    """The speech in a successful response. It cost money, so one that cannot be read is not requested again."""
    try:
        audio = base64.b64decode(value["audio_base64"], validate=True)
        times = value.get("alignment")
    except (KeyError, TypeError, AttributeError, binascii.Error):
        raise UnreadableMedia("ElevenLabs answered with something that is not speech.") from None
    if not audio:
        raise UnreadableMedia("ElevenLabs answered without any sound.")
    try:
        starts, ends = times["character_start_times_seconds"], times["character_end_times_seconds"]
        alignment = Alignment(tuple(map(str, times["characters"])), tuple(map(float, starts)), tuple(map(float, ends)))
    except (KeyError, TypeError, ValueError):
        return Speech(audio, None)
    return Speech(audio, alignment)


def _error(response: ProviderResponse) -> Exception:
    """The error for a response without success. It names the service's code alone: a message may quote the text."""
    code = _error_code(response.json())
    reason = f"{code}, status {response.status}" if code else f"status {response.status}"
    if code == "quota_exceeded" or response.status == 402:
        return QuotaExceeded("The quota at ElevenLabs is used up.")
    if code == _UNUSUAL_ACTIVITY:
        return KeyRejected(
            f"ElevenLabs has blocked this account's free plan ({reason}): it takes many users of one address, such as "
            "those of a cloud, for one who evades its limits. Put the key of a paid plan into ELEVENLABS_API_KEY."
        )
    if response.status in (401, 403) or code in _KEY_CODES:
        return KeyRejected(f"ElevenLabs does not accept ELEVENLABS_API_KEY ({reason}).")
    if response.status == 429:
        busy = {"retry_after": _BUSY_SECONDS} if code == "concurrent_limit_exceeded" else {}
        return RateLimited(
            f"The rate limit at ElevenLabs was reached ({reason}). Try again later.", **(response.retry_after or busy)
        )
    if response.status == 408 or response.status >= 500 or response.status < 400:
        return ProviderFailed(f"ElevenLabs did not answer as it should ({reason}).")
    return ProviderRefused(f"ElevenLabs refused this request ({reason}). Check voice_id and script_text.")


def _error_code(value: Any) -> str:
    """The error's code in any of its three shapes: a `code`, an older `status`, or a list of what is invalid."""
    detail = value.get("detail") if isinstance(value, dict) else None
    if isinstance(detail, list):
        detail = {"code": detail[0].get("type") if detail and isinstance(detail[0], dict) else None}
    if not isinstance(detail, dict):
        return ""
    code = detail.get("code") or detail.get("status") or detail.get("type") or ""
    return code if isinstance(code, str) and code.replace("_", "").isalnum() and len(code) < 60 else ""
