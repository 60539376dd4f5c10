"""ElevenLabs: what is asked, every fault told apart, and nothing paid for twice."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from functions.video.providers import client
from functions.video.providers.elevenlabs import ElevenLabs, _error_code
from functions.video.render.alignment_repair import repair
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    KeyRejected,
    ProviderFailed,
    ProviderRefused,
    QuotaExceeded,
    RateLimited,
    UnreadableMedia,
)
from local.standins.elevenlabs import VOICE_ID
from local.standins.servers import StandIns
from tests.unit.video.fixtures import elevenlabs, running, soon, standins

__all__ = ["elevenlabs", "running", "standins"]

TEXT = "Good morning. The sea is calm."


@pytest.fixture(autouse=True)
def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.with_retries, "__defaults__", (lambda seconds: None, lambda: 0.5))


class PaymentCounter:
    """Counts what may have been paid."""

    def __init__(self) -> None:
        self.paid = 0

    def spend(self) -> None:
        self.paid += 1

    def refund(self) -> None:
        self.paid -= 1


def speak(service: ElevenLabs, text: str = TEXT, voice_id: str = VOICE_ID) -> int:
    """How many requests may have been paid, if that is not told by an error."""
    counter = PaymentCounter()
    service.speak(text, voice_id=voice_id, before="", after="", deadline=soon(), payment=counter)
    return counter.paid


FAULTS: list[tuple[str, dict[str, Any], type[ColdswapError], int]] = [
    ("rate_limit", {}, RateLimited, 3),
    ("concurrency", {"shape": "old"}, RateLimited, 3),
    ("busy", {}, RateLimited, 3),
    ("status", {"status": 429}, RateLimited, 3),
    ("status", {"status": 429, "retry_after": 30}, RateLimited, 1),
    ("quota", {}, QuotaExceeded, 1),
    ("quota", {"status": 401, "shape": "old"}, QuotaExceeded, 1),
    ("quota", {"status": 400, "shape": "old"}, QuotaExceeded, 1),
    ("status", {"status": 402}, QuotaExceeded, 1),
    ("key", {}, KeyRejected, 1),
    ("key", {"status": 400, "shape": "old"}, KeyRejected, 1),
    ("status", {"status": 403}, KeyRejected, 1),
    ("voice", {}, ProviderRefused, 1),
    ("validation", {}, ProviderRefused, 1),
    ("error", {}, ProviderFailed, 3),
    ("html", {"status": 502}, ProviderFailed, 3),
    ("status", {"status": 408}, ProviderFailed, 3),
    ("drop", {}, ProviderFailed, 3),
    ("unparsable", {}, UnreadableMedia, 1),
    ("html", {"status": 200}, UnreadableMedia, 1),
    ("broken", {"after": 100}, UnreadableMedia, 1),
    ("length", {"promised": 9**9}, UnreadableMedia, 1),
]


@pytest.mark.parametrize(("fault", "options", "error", "times"), FAULTS)
def test_a_fault_has_its_error_and_is_asked_about_again_where_that_helps(
    elevenlabs: ElevenLabs,
    standins: StandIns,
    fault: str,
    options: dict[str, Any],
    error: type[ColdswapError],
    times: int,
) -> None:
    standins.fault(f"elevenlabs.{fault}", times=None, **options)
    with pytest.raises(error) as caught:
        speak(elevenlabs)
    message = f"{caught.value}{caught.value.extra}"
    assert type(caught.value) is error
    assert len(standins.requests_to("elevenlabs")) == times
    assert TEXT not in message
    assert standins.environment["ELEVENLABS_API_KEY"] not in message


@pytest.mark.parametrize("shape", ["code", "status"])
def test_a_blocked_free_plan_is_told_with_what_to_do(
    elevenlabs: ElevenLabs, monkeypatch: pytest.MonkeyPatch, shape: str
) -> None:
    body = json.dumps({"detail": {shape: "detected_unusual_activity", "message": "Free Tier usage disabled."}})
    answer = client.ProviderResponse(401, {}, body.encode())
    monkeypatch.setattr("functions.video.providers.elevenlabs.send", lambda *_, **__: answer)
    with pytest.raises(KeyRejected, match=r"detected_unusual_activity.* paid plan into ELEVENLABS_API_KEY"):
        speak(elevenlabs)


def test_speech_comes_with_the_times_of_its_characters(elevenlabs: ElevenLabs, standins: StandIns) -> None:
    speech = elevenlabs.speak(
        TEXT, voice_id=VOICE_ID, before="", after="Good night.", deadline=soon(), payment=PaymentCounter()
    )
    assert speech.alignment is not None
    assert repair(speech.alignment, TEXT, 0.0, speech.alignment.ends[-1])[1]
    assert speech.audio[:3] == b"ID3" or speech.audio[0] == 0xFF  # an MP3 file begins with a tag or a frame
    (recorded,) = standins.requests_to("elevenlabs")
    assert recorded.path == f"/v1/text-to-speech/{VOICE_ID}/with-timestamps"
    assert recorded.request.query == {"output_format": "mp3_44100_128"}
    assert recorded.request.json() == {"text": TEXT, "model_id": "eleven_multilingual_v2", "next_text": "Good night."}


def test_patience_is_as_long_as_asked_for(
    elevenlabs: ElevenLabs, standins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(client.with_retries, "__defaults__", (waits.append, lambda: 1.0))
    standins.fault("elevenlabs.status", status=503)
    standins.fault("elevenlabs.rate_limit", retry_after=7)
    speak(elevenlabs)
    assert waits == [1.0, 7.0]


def test_an_answer_that_drips_ends_with_the_deadline(elevenlabs: ElevenLabs, standins: StandIns) -> None:
    standins.fault("elevenlabs.trickle", bytes_per_second=200)
    with pytest.raises(UnreadableMedia, match="in time"):
        elevenlabs.speak(
            TEXT, voice_id=VOICE_ID, before="", after="", deadline=Deadline.after(2), payment=PaymentCounter()
        )


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"detail": {"type": "x", "code": "quota_exceeded", "message": "m"}}, "quota_exceeded"),
        ({"detail": {"status": "quota_exceeded", "message": "m"}}, "quota_exceeded"),
        ({"detail": [{"loc": ["body"], "msg": "m", "type": "string_type"}]}, "string_type"),
        ({"detail": "Not Found"}, ""),
        ({"detail": {"code": "the key sk-1 is wrong"}}, ""),
        ({"detail": []}, ""),
        ([], ""),
        (None, ""),
    ],
)
def test_an_errors_code_is_found_in_each_of_its_shapes(body: Any, code: str) -> None:
    assert _error_code(body) == code


def test_the_services_own_checks(elevenlabs: ElevenLabs, standins: StandIns) -> None:
    with pytest.raises(KeyRejected, match="invalid_api_key"):
        speak(ElevenLabs(standins.elevenlabs_url, "sk_wrong"))
    with pytest.raises(ProviderRefused, match="voice_not_found"):
        speak(elevenlabs, voice_id="../nobody")
    with pytest.raises(ProviderRefused, match="max_character_limit_exceeded"):
        speak(elevenlabs, text="a" * (elevenlabs.longest_request + 1))


def test_an_answer_larger_than_any_speech_is_not_held(
    elevenlabs: ElevenLabs, standins: StandIns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.video.providers.elevenlabs.MOST_BYTES", 1000)
    with pytest.raises(UnreadableMedia, match="1000 bytes"):
        speak(elevenlabs)
    assert len(standins.requests_to("elevenlabs")) == 1


def test_a_passing_fault_is_paid_once(elevenlabs: ElevenLabs, standins: StandIns) -> None:
    for fault in ("concurrency", "drop"):
        standins.fault(f"elevenlabs.{fault}")
    speak(elevenlabs)
    assert [recorded.status for recorded in standins.requests_to("elevenlabs")] == [429, 0, 200]


def test_the_key_does_not_follow_a_redirect(elevenlabs: ElevenLabs, standins: StandIns) -> None:
    standins.fault("elevenlabs.redirect", times=None, to=f"{standins.pexels_url}/elsewhere")
    with pytest.raises(ColdswapError):
        speak(elevenlabs)
    assert standins.requests_to("pexels") == []


def test_neither_key_nor_script_is_logged(
    elevenlabs: ElevenLabs, standins: StandIns, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    speak(elevenlabs)
    assert standins.environment["ELEVENLABS_API_KEY"] not in caplog.text + repr(elevenlabs)
    assert TEXT not in caplog.text
