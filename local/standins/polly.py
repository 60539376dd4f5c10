"""A stand-in for Amazon Polly's SynthesizeSpeech: its checks, limits and errors, with speech by espeak-ng.

https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

from local.standins import speech_synthesis
from local.standins.http_server import Fault, Request, Response

# Some voices, and the engines that each has.
VOICES = {
    "Matthew": (speech_synthesis.Timbre("m3", 42), ("standard", "neural", "generative")),
    "Joanna": (speech_synthesis.Timbre("f3", 52), ("standard", "neural", "generative")),
    "Amy": (speech_synthesis.Timbre("f2", 50, "en-gb-x-rp"), ("standard", "neural")),
    "Vicki": (speech_synthesis.Timbre("f2", 48), ("standard", "neural")),
    "Takumi": (speech_synthesis.Timbre("m1", 45), ("standard", "neural")),
    "Zhiyu": (speech_synthesis.Timbre("f1", 50), ("standard", "neural")),
    "Ivy": (speech_synthesis.Timbre("f4", 60), ("standard", "neural")),
    "Dora": (speech_synthesis.Timbre("f1", 45), ("standard",)),
}
ENGINES = ("standard", "neural", "long-form", "generative")
MOST_CHARACTERS = 3_000  # billed
_FORMATS = {"mp3": ("8000", "16000", "22050", "24000", "44100", "48000"), "json": ()}

# Faults of this service: status, error and message. Throttling has the status of a mistake.
FAULTS = {
    "throttled": (400, "ThrottlingException", "Rate exceeded"),
    "denied": (403, "AccessDeniedException", "User is not authorized to perform: polly:SynthesizeSpeech"),
    "failed": (500, "ServiceFailureException", "An unknown condition has caused a service failure."),
}


def answer(request: Request, fault: Fault | None) -> Response:
    """Respond as Polly does. Further faults: no_marks (the request for times fails), unparsable (times are no JSON)."""
    if (request.method, request.path) != ("POST", "/v1/speech"):
        return _error(404, "UnknownOperationException", "")
    if fault and fault.kind in FAULTS:
        return _error(*FAULTS[fault.kind])
    if "authorization" not in request.headers:
        return _error(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
    try:
        body = request.json()
    except ValueError:
        return _error(400, "SerializationException", "")
    return _check(body) or _speak(body, fault)


def _check(body: dict[str, Any]) -> Response | None:
    text, voice, engine = body.get("Text", ""), body.get("VoiceId"), body.get("Engine", "standard")
    if voice not in VOICES or engine not in ENGINES or body.get("OutputFormat") not in _FORMATS:
        return _error(400, "ValidationException", "1 validation error detected: Value failed to satisfy constraint")
    if len(text) > MOST_CHARACTERS:
        return _error(400, "TextLengthExceededException", "Maximum text length has been exceeded")
    if engine not in VOICES[voice][1]:
        return _error(400, "EngineNotSupportedException", "This voice does not support the selected engine")
    rate, formats = body.get("SampleRate"), _FORMATS[body["OutputFormat"]]
    if rate is not None and formats and rate not in formats:
        return _error(400, "InvalidSampleRateException", "The specified sample rate is not valid.")
    if (body["OutputFormat"] == "json") != bool(body.get("SpeechMarkTypes")):
        return _error(400, "MarksNotSupportedForFormatException", "Speech marks are not supported for this format")
    return None


def _speak(body: dict[str, Any], fault: Fault | None) -> Response:
    text = body["Text"]
    headers = {"x-amzn-RequestCharacters": str(len(text)), "x-amzn-RequestId": "standin"}
    speech = speech_synthesis.speak(text, VOICES[body["VoiceId"]][0])
    if body["OutputFormat"] == "mp3":
        audio = speech_synthesis.encode(speech, f"mp3_{body.get('SampleRate', '24000')}_48")
        return Response(200, {"Content-Type": "audio/mpeg", **headers}, audio)
    if fault and fault.kind == "no_marks":
        return _error(*FAULTS["failed"])
    lines = b'{"time":' if fault and fault.kind == "unparsable" else _marks(text, speech.alignment)
    return Response(200, {"Content-Type": "application/x-json-stream", **headers}, lines)


def _marks(text: str, alignment: speech_synthesis.CharacterTimes) -> bytes:
    """One line a word: its time in milliseconds, and its bytes in UTF-8; no punctuation, and no end of its sound."""
    places = [0, *accumulate(len(letter.encode()) for letter in text)]
    lines = []
    for word in re.finditer(r"[^\W_]+(?:['\u2019.-][^\W_]+)*", text):
        mark = {
            "time": round(alignment.starts[word.start()] * 1000),
            "type": "word",
            "start": places[word.start()],
            "end": places[word.end()],
            "value": word[0],
        }
        lines.append(json.dumps(mark, ensure_ascii=False) + "\n")
    return "".join(lines).encode()


def _error(status: int, kind: str, message: str) -> Response:
    return Response.of({"message": message}, status, {"x-amzn-ErrorType": kind})
