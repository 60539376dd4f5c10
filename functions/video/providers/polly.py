"""Amazon Polly as a voice service, which needs no key: the function's own role may use it.

https://docs.aws.amazon.com/polly/latest/dg/API_SynthesizeSpeech.html and, for the times of words, .../speechmarks.html
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from typing import Any

from functions.video.providers.client import CHUNK, with_retries
from functions.video.providers.interfaces import Payment
from functions.video.providers.titles import POLLY
from functions.video.render.alignment import Alignment, Speech
from functions.video.render.query_locale import guess_locale
from functions.video.values import VoiceIdentity
from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    InvalidRequest,
    KeyRejected,
    ProviderFailed,
    ProviderRefused,
    RateLimited,
    UnreadableMedia,
)

ENGINE = "neural"
SAMPLE_RATE = "24000"
API_REQUEST_CHARACTERS = 3_000  # billed ones, which all characters of a plain text are
MOST_BYTES = 32 << 20
REQUEST_SECONDS = 60.0
CONNECT_SECONDS = 3.0
DOLLARS_A_CHARACTER = 16 / 1_000_000
CALLS = 2  # for sound and for times; both are billed
# Seconds of a word, which has no end of its own: a letter's, and what is left of a pause.
_LETTER_SECONDS, _WORD_SECONDS = 0.085, 0.15
_THROTTLED = ("ThrottlingException", "Throttling", "TooManyRequestsException")  # the first with status 400
_DENIED = ("AccessDeniedException", "UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException")

# A neural voice for each language that `guess_locale` tells, by its first letters. They are to be those of
# https://docs.aws.amazon.com/polly/latest/dg/neural-voices.html, which was read as far as English: the others are from
# a list of 2023, and a request without a voice shows whether Polly still has them.
DEFAULT_VOICES = {
    "ca": "Arlet",
    "cs": "Jitka",
    "da": "Sofie",
    "de": "Vicki",
    "en": "Matthew",
    "es": "Sergio",
    "fi": "Suvi",
    "fr": "Remi",
    "it": "Adriano",
    "ja": "Takumi",
    "ko": "Seoyeon",
    "nb": "Ida",
    "nl": "Laura",
    "pl": "Ola",
    "pt": "Thiago",
    "sv": "Elin",
    "tr": "Burcu",
    "zh": "Zhiyu",
}


class Polly:
    """Speaks at the expense of the account that the function is in."""

    title = POLLY
    longest_request = API_REQUEST_CHARACTERS
    obeys_breaks = False  # not in plain text, in which nothing can be mistaken for a tag
    identity = VoiceIdentity("polly", ENGINE, f"mp3_{SAMPLE_RATE}")

    def __init__(self, client: Callable[[], Any] | None = None) -> None:
        """`client` gives the boto3 client when first needed."""
        self._client = client or make_client

    @staticmethod
    def price(characters: int) -> float:
        """US dollars for a text of that length."""
        return characters * CALLS * DOLLARS_A_CHARACTER

    @staticmethod
    def check_voice(voice_id: str) -> None:
        """Raises InvalidRequest for a name that is none of Polly's, before anything is spent."""
        if voice_id not in voice_names():
            raise InvalidRequest(
                "Amazon Polly has no voice of this name. Choose a neural one, such as Matthew, or leave it out."
            )

    @staticmethod
    def default_voice(text: str) -> str:
        """A voice for the text's language. Raises ProviderRefused where Polly has none."""
        locale = guess_locale(text)
        voice = DEFAULT_VOICES.get((locale or "en").partition("-")[0])
        if voice is None:
            raise ProviderRefused(
                f"Amazon Polly has no neural voice for this script's language ({locale}). Ask the operator to add a "
                "key for ElevenLabs, or send a recording of your own as voice."
            )
        return voice

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        """The text as MP3; the texts around it are of no use to this service.

        The request for sound is counted by `payment`, whose errors are raised too. Raises KeyRejected, RateLimited,
        ProviderRefused, ProviderFailed, UnreadableMedia or OutOfTime. Without times, if those alone cannot be had:
        the sound was paid for.
        """
        common = {"Text": text, "VoiceId": voice_id, "Engine": ENGINE, "TextType": "text"}

        def get_sound() -> bytes:
            deadline.check("asking Amazon Polly")
            return self._call({**common, "OutputFormat": "mp3", "SampleRate": SAMPLE_RATE}, payment)

        def get_times() -> bytes:
            deadline.check("asking Amazon Polly")
            return self._call({**common, "OutputFormat": "json", "SpeechMarkTypes": ["word"]})

        sound = with_retries(get_sound, deadline)
        if not sound:
            raise UnreadableMedia("Amazon Polly answered without any sound.")
        try:
            marks = with_retries(get_times, deadline)
        except (ProviderFailed, RateLimited, ProviderRefused, UnreadableMedia):
            return Speech(sound, None)
        return Speech(sound, parse_marks(marks, text))

    def _call(self, arguments: dict[str, Any], payment: Payment | None = None) -> bytes:
        """The body of a response. A success that breaks off is UnreadableMedia: nobody repeats it and pays twice."""
        from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, EndpointConnectionError

        if payment:
            payment.spend()
        try:
            response = self._client().synthesize_speech(**arguments)
        except ClientError as error:
            if payment:
                payment.refund()
            raise _error(error.response) from None
        except (ConnectTimeoutError, EndpointConnectionError):
            if payment:
                payment.refund()
            raise ProviderFailed("Amazon Polly cannot be reached. Is it offered in this region?") from None
        except BotoCoreError as error:
            raise ProviderFailed(f"Amazon Polly did not answer ({type(error).__name__}).") from None
        body = bytearray()
        try:
            while chunk := response["AudioStream"].read(CHUNK):  # to the end: only there it is told from a broken one
                body += chunk
                if len(body) > MOST_BYTES:
                    break
        except Exception as error:  # of botocore and of urllib3, which it does not hide
            raise UnreadableMedia(f"The answer of Amazon Polly broke off ({type(error).__name__}).") from None
        if len(body) > MOST_BYTES:
            raise UnreadableMedia(f"Amazon Polly answered with more than {MOST_BYTES} bytes.")
        return bytes(body)


@cache
def voice_names() -> frozenset[str]:
    """The names of all voices, as the API's own description of VoiceId has them, which botocore carries."""
    import botocore.session

    model = botocore.session.get_session().get_service_model("polly")
    return frozenset(model.shape_for("VoiceId").enum)


@cache
def make_client() -> Any:
    """The process's client, which does not try again by itself: each request costs money."""
    import boto3
    from botocore.config import Config

    retries: Any = {"total_max_attempts": 1}
    return boto3.client(
        "polly", config=Config(connect_timeout=CONNECT_SECONDS, read_timeout=REQUEST_SECONDS, retries=retries)
    )


def parse_marks(marks: bytes, text: str) -> Alignment | None:
    """The times of a text's characters by the marks of its words, one JSON a line; None where they are no such marks.

    A mark says when a word begins, in milliseconds, and its first byte and the one after its last in UTF-8.
    """
    places = {0: 0}  # characters by bytes
    size = 0
    for number, letter in enumerate(text, 1):
        size += len(letter.encode())
        places[size] = number
    try:
        entries = [json.loads(line) for line in marks.splitlines() if line.strip()]
        words = [
            (places[int(each["start"])], places[int(each["end"])], int(each["time"]) / 1000)
            for each in entries
            if each["type"] == "word"
        ]
    except (ValueError, KeyError, TypeError):
        return None
    ordered = all(one[1] <= other[0] and one[2] <= other[2] for one, other in pairwise(words))
    return _spread(words, text) if words and ordered else None


def _spread(words: list[tuple[int, int, float]], text: str) -> Alignment:
    """Times of the characters from the first word on: evenly within a word; what follows it takes no time."""
    characters: list[str] = []
    starts: list[float] = []
    ends: list[float] = []
    following = [*words[1:], (len(text), len(text), float("inf"))]
    for (first, after, start), (begin, _, until) in zip(words, following, strict=True):
        letters = max(after - first, 1)
        step = min(until - start, letters * _LETTER_SECONDS + _WORD_SECONDS) / letters
        for at in range(first, begin):
            characters.append(text[at])
            starts.append(start + min(at - first, letters) * step)
            ends.append(start + min(at - first + 1, letters) * step)
    return Alignment(tuple(characters), tuple(starts), tuple(ends))


def _error(response: Any) -> ColdswapError:
    """The error for a response without success. It names the service's code alone: a message may quote the text."""
    code, status = str(response["Error"]["Code"])[:60], response["ResponseMetadata"]["HTTPStatusCode"]
    reason = f"{code}, status {status}"
    if code in _THROTTLED or status == 429:
        return RateLimited(f"The rate limit at Amazon Polly was reached ({reason}). Try again later.")
    if code in _DENIED or status in (401, 403):
        return KeyRejected(f"The video function may not use Amazon Polly ({reason}): it needs polly:SynthesizeSpeech.")
    if status >= 500:
        return ProviderFailed(f"Amazon Polly did not answer as it should ({reason}).")
    return ProviderRefused(f"Amazon Polly refused this request ({reason}). Check the voice: it must be a neural one.")
