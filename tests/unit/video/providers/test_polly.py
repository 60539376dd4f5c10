"""Amazon Polly: both requests of its contract, the times of words, every fault told apart, and nothing paid twice."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pytest
from botocore.config import Config

from functions.video.providers import client
from functions.video.providers.choice import choose_voice, voice_service, voice_traits
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.keys import ProviderKeys
from functions.video.providers.polly import DEFAULT_VOICES, Polly, parse_marks, voice_names
from functions.video.render.alignment import Speech, align_words
from functions.video.render.alignment_repair import repair
from layers.core.errors import (
    ColdswapError,
    InvalidRequest,
    KeyRejected,
    ProviderFailed,
    ProviderRefused,
    RateLimited,
    UnreadableMedia,
)
from local.standins.servers import StandIns
from tests.unit.video.fixtures import running, soon, standins
from tests.unit.video.providers.test_elevenlabs import PaymentCounter

__all__ = ["running", "standins"]

TEXT = "Good morning. The caf\u00e9 \u2014 it's by the sea."


@pytest.fixture(autouse=True)
def never_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client.with_retries, "__defaults__", (lambda seconds: None, lambda: 0.5))


@pytest.fixture
def polly(running: StandIns) -> Polly:
    retries: Any = {"total_max_attempts": 1}
    options: dict[str, Any] = {"region_name": "eu-west-1", "aws_access_key_id": "a", "aws_secret_access_key": "b"}
    boto = boto3.client("polly", endpoint_url=running.polly_url, config=Config(retries=retries), **options)
    return Polly(lambda: boto)


def speak(service: Polly, text: str = TEXT, voice_id: str = "Joanna") -> tuple[Speech, int]:
    """The speech, and how many requests for sound may have been paid."""
    counter = PaymentCounter()
    speech = service.speak(text, voice_id=voice_id, before="", after="", deadline=soon(), payment=counter)
    return speech, counter.paid


def test_sound_and_times_are_two_requests_for_the_same_text_voice_and_engine(polly: Polly, standins: StandIns) -> None:
    speech, paid = speak(polly)

    sound, times = (record.request.json() for record in standins.requests_to("polly"))
    assert {name: sound[name] for name in ("Text", "VoiceId", "Engine", "TextType")} == {
        name: times[name] for name in ("Text", "VoiceId", "Engine", "TextType")
    }
    assert (sound["OutputFormat"], sound["SampleRate"]) == ("mp3", "24000")
    assert (times["OutputFormat"], times["SpeechMarkTypes"]) == ("json", ["word"])
    assert speech.audio[:3] == b"ID3" or speech.audio[0] == 0xFF
    assert paid == 1


def test_every_word_has_its_own_time_in_a_text_with_letters_of_several_bytes(polly: Polly) -> None:
    speech, _ = speak(polly)

    assert speech.alignment
    seconds = speech.alignment.ends[-1] + 0.2
    mended, aligned = repair(speech.alignment, TEXT, 0.0, seconds)
    words = align_words(TEXT, mended, 0, 0.0, seconds)
    assert aligned
    assert [word.text for word in words] == [
        "Good",
        "morning.",
        "The",
        "caf\u00e9",
        "\u2014",
        "it's",
        "by",
        "the",
        "sea.",
    ]
    assert [word.start for word in words] == sorted(word.start for word in words)
    assert words[1].end < words[2].start, "a sentence ends before the pause after it"


def test_marks_count_bytes_and_milliseconds() -> None:
    """A line as the documentation of speech marks has it, and one after a letter of two bytes."""
    lines = [
        {"time": 6, "type": "word", "start": 0, "end": 5, "value": "caf\u00e9"},
        {"time": 373, "type": "word", "start": 6, "end": 9, "value": "had"},
    ]
    alignment = parse_marks("\n".join(map(json.dumps, lines)).encode(), "caf\u00e9 had.")

    assert alignment
    assert "".join(alignment.characters) == "caf\u00e9 had."
    assert (alignment.starts[0], alignment.starts[5]) == (0.006, 0.373)
    assert alignment.ends[3] <= 0.373


@pytest.mark.parametrize(
    "marks",
    [
        b"",
        b"{",
        b"[]",
        b'{"time":1,"type":"word","start":1,"end":4,"value":"x"}',  # within a letter
        b'{"time":1,"type":"word","start":0,"end":99,"value":"x"}',
        b'{"time":9,"type":"word","start":0,"end":2,"value":"x"}\n{"time":1,"type":"word","start":3,"end":5,"value":"y"}',
    ],
)
def test_marks_that_do_not_fit_the_text_are_none(marks: bytes) -> None:
    assert parse_marks(marks, "\u00e9 had") is None


FAULTS: list[tuple[str, type[ColdswapError], int, int]] = [
    ("throttled", RateLimited, 3, 0),
    ("denied", KeyRejected, 1, 0),
    ("failed", ProviderFailed, 3, 0),
    ("drop", ProviderFailed, 3, 3),
    ("broken", UnreadableMedia, 1, 1),
]


@pytest.mark.parametrize(("fault", "error", "times", "paid"), FAULTS)
def test_a_fault_has_its_error_and_is_asked_about_again_where_that_helps(
    polly: Polly, standins: StandIns, fault: str, error: type[ColdswapError], times: int, paid: int
) -> None:
    how: dict[str, Any] = {"after": 100} if fault == "broken" else {}
    standins.fault(f"polly.{fault}", times=None, **how)
    counter = PaymentCounter()

    with pytest.raises(error) as caught:
        polly.speak(TEXT, voice_id="Joanna", before="", after="", deadline=soon(), payment=counter)

    assert type(caught.value) is error
    assert len(standins.requests_to("polly")) == times
    assert counter.paid == paid, "what was certainly not made costs nothing"
    assert TEXT not in caught.value.detail


@pytest.mark.parametrize(("text", "voice"), [("x" * 3_001, "Joanna"), ("Hello.", "Nobody"), ("Hello.", "Dora")])
def test_what_polly_refuses_is_no_fault_of_the_stack(polly: Polly, text: str, voice: str) -> None:
    with pytest.raises(ProviderRefused):
        speak(polly, text, voice)


@pytest.mark.parametrize("fault", ["no_marks", "unparsable"])
def test_sound_without_times_is_kept_because_it_was_paid_for(polly: Polly, standins: StandIns, fault: str) -> None:
    standins.fault(f"polly.{fault}", times=None, match='"json"')

    speech, paid = speak(polly)

    assert speech.audio
    assert speech.alignment is None
    assert paid == 1


def test_polly_speaks_where_there_is_no_key_for_another_service() -> None:
    services: Any = None
    assert isinstance(voice_service(services, ProviderKeys({}), "me"), Polly)
    assert voice_traits(ProviderKeys({"ELEVENLABS_API_KEY": "k"})) is ElevenLabs


def test_the_voice_is_the_requests_the_operators_or_one_of_the_scripts_language() -> None:
    keys = ProviderKeys({"VOICE_ID": "Amy"})
    german = "Das Meer ist nicht nur blau, und es ist tief."
    assert choose_voice(keys, "Ivy", german) == "Ivy"
    assert choose_voice(keys, None, german) == "Amy"
    assert choose_voice(ProviderKeys({}), None, german) == "Vicki"
    assert choose_voice(ProviderKeys({}), None, "Hello there, this is the sea.") == "Matthew"
    with pytest.raises(ProviderRefused, match="no neural voice"):
        choose_voice(ProviderKeys({}), None, "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35\u0e04\u0e23\u0e31\u0e1a")


# Languages and their neural voices. English and what stands before it are those of AWS's page
# (docs.aws.amazon.com/polly/latest/dg/available-voices.html, November 2026), the rest those of a list of 2023, but for
# Remi and Burcu, for which there was neither.
NEURAL_VOICES = """
ca Arlet
zh Zhiyu
cs Jitka
da Sofie
de Vicki Daniel
en Danielle Gregory Ivy Joanna Joey Justin Kendra Kevin Kimberly Matthew Ruth Salli Stephen
es Lucia Sergio
fi Suvi
fr Lea Remi
it Adriano Bianca
ja Kazuha Takumi Tomoko
ko Jihye Seoyeon
nb Ida
nl Laura
pl Ola
pt Camila Thiago Vitoria
sv Elin
tr Burcu
"""


def test_every_default_voice_is_a_neural_one_of_its_language() -> None:
    languages = {line.split()[0]: line.split()[1:] for line in NEURAL_VOICES.strip().splitlines()}
    assert languages.keys() == DEFAULT_VOICES.keys()
    assert all(voice in languages[language] for language, voice in DEFAULT_VOICES.items())
    assert voice_names().issuperset(DEFAULT_VOICES.values())


def test_a_voice_that_is_none_of_pollys_is_refused_at_once() -> None:
    with pytest.raises(InvalidRequest, match="no voice of this name"):
        choose_voice(ProviderKeys({"VOICE_ID": "JBFqnCBsd6RMkjVDRZzb"}), None, "Hello there, this is the sea.")
    assert choose_voice(ProviderKeys({"ELEVENLABS_API_KEY": "k"}), "any", "Hello.") == "any"


def test_the_price_counts_both_requests() -> None:
    """16 dollars a million characters of neural voices, for sound and again for times."""
    assert Polly.price(1_000_000) == pytest.approx(32.0)
