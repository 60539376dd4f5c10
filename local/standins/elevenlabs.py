"""A stand-in for ElevenLabs' text-to-speech: its paths, checks and errors, with speech by espeak-ng.

https://elevenlabs.io/docs/api-reference/text-to-speech/convert-with-timestamps
"""

from __future__ import annotations

import base64
import re
from typing import Any

from local.standins import speech_synthesis
from local.standins.http_server import Fault, Request, Response

API_KEY = "sk_standin_3f9a7c0e5b1d"
VOICE_ID = "JBFqnCBsd6RMkjVDRZzb"

VOICES = {
    VOICE_ID: speech_synthesis.Timbre(),  # George
    "21m00Tcm4TlvDq8ikWAM": speech_synthesis.Timbre("f3", 55),  # Rachel
    "EXAVITQu4vr4xnSDxMaL": speech_synthesis.Timbre("f2", 50),  # Sarah
    "pNInz6obpgDQGcFmaJgB": speech_synthesis.Timbre("m3", 40),  # Adam
    "onwK4e9ZLuTAKqWW03F9": speech_synthesis.Timbre("m7", 42, "en-gb-x-rp"),  # Daniel
}

MODELS = {  # characters per request
    "eleven_multilingual_v2": 10_000,
    "eleven_flash_v2_5": 40_000,
    "eleven_turbo_v2_5": 40_000,
    "eleven_flash_v2": 30_000,
    "eleven_turbo_v2": 30_000,
    "eleven_v3": 5_000,
}

_PATH = re.compile(r"/v1/text-to-speech/([^/]+)(/with-timestamps)?")
_BREAK = re.compile(r'<break time="[\d.]+m?s"\s*/>')
_FORMATS = re.compile(
    r"mp3_(?:22050_32|24000_48|44100_(?:32|64|96|128|192))|pcm_(?:8000|16000|22050|24000|44100|48000)"
)
_SETTINGS = {"stability": (0, 1), "similarity_boost": (0, 1), "style": (0, 1), "speed": (0.7, 1.2)}

# Faults of this service: status, type, code and message.
FAULTS = {
    "rate_limit": (429, "rate_limit_error", "rate_limit_exceeded", "Rate limit exceeded. Please try again later."),
    "concurrency": (
        429, "rate_limit_error", "concurrent_limit_exceeded",
        "Too many concurrent requests. Your current subscription allows a maximum of 2 concurrent requests.",
    ),
    "quota": (
        401, "invalid_request_error", "quota_exceeded",
        "This request exceeds your quota of 10000. You have 7 credits remaining, while 120 credits are required.",
    ),
    "key": (401, "authentication_error", "invalid_api_key", "Invalid API key"),
    "voice": (404, "not_found", "voice_not_found", "A voice with the given id was not found."),
    "busy": (429, "rate_limit_error", "system_busy", "We are experiencing heavy traffic. Please try again later."),
    "error": (500, "internal_error", "internal_server_error", "An unexpected error occurred."),
}  # fmt: skip


def answer(request: Request, fault: Fault | None) -> Response:
    """Respond as ElevenLabs does. Further faults: no_alignment, unparsable (a 200 that is not JSON), validation."""
    target = _PATH.fullmatch(request.path)
    if not target or request.method != "POST":
        return Response.of({"detail": "Not Found" if not target else "Method Not Allowed"}, 405 if target else 404)
    if fault and fault.kind in FAULTS:
        status, kind, code, message = FAULTS[fault.kind]
        return _error(fault.how.get("status", status), kind, code, message, fault)
    if fault and fault.kind == "validation":
        return _validation_error("text", "Input should be a valid string", "string_type")
    if "xi-api-key" not in request.headers:
        return _error(
            401, "authentication_error", "needs_authorization",
            "Neither authorization header nor xi-api-key received, please provide one.",
        )  # fmt: skip
    if request.headers["xi-api-key"] != API_KEY:
        return _error(*FAULTS["key"])
    timbre = VOICES.get(target[1])
    if timbre is None:
        return _error(404, "not_found", "voice_not_found", f"A voice with voice_id {target[1]} was not found.")
    try:
        body = request.json()
    except ValueError:
        return _validation_error("body", "JSON decode error", "json_invalid")
    error = _check(body, request)
    return error or _speak(body, request, timbre, timestamps=bool(target[2]), fault=fault)


def _check(payload: Any, request: Request) -> Response | None:
    if not isinstance(payload, dict) or "text" not in payload:
        return _validation_error("text", "Field required", "missing")
    text, model = payload["text"], payload.get("model_id", "eleven_multilingual_v2")
    for name in ("text", "previous_text", "next_text"):
        if not isinstance(payload.get(name) or "", str):
            return _validation_error(name, "Input should be a valid string", "string_type")
    if not text.strip():
        return _error(400, "invalid_request_error", "input_text_empty", "Input text is empty.")
    if model not in MODELS:
        message = f"A model with model ID {model} does not exist ..."
        return _error(400, "invalid_request_error", "model_not_found", message)
    if len(text) > MODELS[model]:
        message = f"The text exceeds the maximum of {MODELS[model]} characters for this model."
        return _error(400, "invalid_request_error", "max_character_limit_exceeded", message)
    if not _FORMATS.fullmatch(_format(request)):
        return _error(400, "invalid_request_error", "invalid_output_format", "The output format is not supported.")
    for name, value in (payload.get("voice_settings") or {}).items():
        low, high = _SETTINGS.get(name, (0, 1))
        if not isinstance(value, int | float) or not low <= value <= high:
            return _error(400, "invalid_request_error", "invalid_voice_settings", f"Invalid setting for {name}.")
    return None


def _speak(
    payload: dict[str, Any], request: Request, timbre: speech_synthesis.Timbre, *, timestamps: bool, fault: Fault | None
) -> Response:
    # A tag for a pause is not spoken.
    speech = speech_synthesis.speak(
        _BREAK.sub(lambda tag: " " * len(tag[0]), payload["text"]),
        timbre,
        speed=(payload.get("voice_settings") or {}).get("speed", 1.0),
    )
    audio = speech_synthesis.encode(speech, _format(request))
    cost = {"request-id": "standin", "character-cost": str(len(payload["text"]))}
    if fault and fault.kind == "unparsable":
        return Response(200, {"Content-Type": "application/json", **cost}, b'{"audio_base64": "')
    if not timestamps:
        kind = "audio/mpeg" if _format(request).startswith("mp3") else "audio/pcm"
        return Response(200, {"Content-Type": kind, **cost}, audio)
    alignment = None if fault and fault.kind == "no_alignment" else _alignment_json(speech.alignment)
    body = {
        "audio_base64": base64.b64encode(audio).decode(),
        "alignment": alignment,
        "normalized_alignment": alignment,
    }
    return Response.of(body, headers=cost)


def _format(request: Request) -> str:
    return request.query.get("output_format", "mp3_44100_128")


def _alignment_json(alignment: speech_synthesis.CharacterTimes) -> dict[str, list[Any]]:
    return {
        "characters": list(alignment.characters),
        "character_start_times_seconds": [round(time, 3) for time in alignment.starts],
        "character_end_times_seconds": [round(time, 3) for time in alignment.ends],
    }


def _error(status: int, kind: str, code: str, message: str, fault: Fault | None = None) -> Response:
    """An error in the current form, or with the fault's shape="old" in the former; retry_after=S adds the header."""
    how = fault.how if fault else {}
    detail: dict[str, Any] = {"status": code, "message": message}
    if how.get("shape", "new") == "new":
        detail |= {"type": kind, "code": code, "request_id": "standin", "param": None}
    headers = {"Retry-After": str(how["retry_after"])} if "retry_after" in how else {}
    return Response.of({"detail": detail}, status, headers)


def _validation_error(place: str, message: str, kind: str) -> Response:
    return Response.of({"detail": [{"loc": ["body", place], "msg": message, "type": kind}]}, 422)
