"""The voice-over: parts, joints, words and their times, and what is paid for only once."""

from __future__ import annotations

import array
import subprocess
import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from functions.video.artifacts import ArtifactStore
from functions.video.providers.client import Payment
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.payments import Payments
from functions.video.render import voice_over as speaking
from functions.video.render.speech import Alignment, Speech, evenly, joined_words, parts, words
from functions.video.render.voice_over import RATE, VoiceService, voice_over
from functions.video.settings import VideoSettings
from functions.video.values import VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import ProviderFailed, ProviderRefused, ScriptTooLong, UnreadableMedia
from layers.media.ffmpeg import program
from local.standins.servers import StandIns
from tests.support.folder_storage import FolderStorage
from tests.unit.video.fixtures import SETTINGS, elevenlabs, folder, payments, running, soon, standins, storage, work

__all__ = ["elevenlabs", "folder", "payments", "running", "standins", "storage", "work"]

TEXT = "The sea is calm tonight. The tide is full, the moon lies fair upon the straits."
VOICE = "JBFqnCBsd6RMkjVDRZzb"


class Said:
    """A voice service that has one thing to say."""

    name = "said"
    longest = 100
    identity: ClassVar = {"service": "said"}

    def __init__(self, speech: Speech) -> None:
        self._speech = speech

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        return self._speech


@dataclass
class Studio:
    """What a voice-over is made with."""

    work: ArtifactStore
    payments: Payments
    folder: Path

    def key(self, service: VoiceService, text: str = TEXT, settings: VideoSettings = SETTINGS) -> str:
        """The voice-over's key in the work store."""
        return voice_over(
            text,
            VOICE,
            service=service,
            work=self.work,
            payments=self.payments,
            folder=self.folder,
            deadline=soon(),
            settings=settings,
        )

    def make(self, service: VoiceService, text: str = TEXT) -> VoiceOver:
        """The voice-over."""
        key = self.key(service, text)
        assert list(self.folder.iterdir()) == []
        return self.work.get(key, VoiceOver, soon())


@pytest.fixture
def studio(work: ArtifactStore, payments: Payments, folder: Path) -> Studio:
    return Studio(work, payments, folder)


def hum(frequency: int) -> bytes:
    """A second of a tone as MP3, with silence before and after it."""
    tone = f"sine=frequency={frequency}:duration=1:sample_rate=44100,adelay=1500,apad=pad_dur=4"
    make = [program(), "-v", "error", "-f", "lavfi", "-i", tone, "-b:a", "128k", "-f", "mp3", "-"]
    return subprocess.run(make, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def samples(voice: VoiceOver, work: ArtifactStore, folder: Path) -> array.array[int]:
    """The sound as ffmpeg reads it."""
    path = folder / "read.flac"
    work.get_file(voice.audio_key, path, 1 << 30, soon())
    read = [program(), "-v", "error", "-i", str(path), "-f", "s16le", "-"]
    raw = subprocess.run(read, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    path.unlink()
    return array.array("h", raw)


def loudness(sound: array.array[int], start: float, end: float) -> float:
    """Mean of the absolute samples between two times."""
    some = sound[round(start * RATE) : round(end * RATE)]
    return sum(map(abs, some)) / max(len(some), 1)


def test_words_are_where_the_sound_is(elevenlabs: ElevenLabs, studio: Studio) -> None:
    voice = studio.make(elevenlabs)
    sound = samples(voice, studio.work, studio.folder)
    assert voice.seconds == len(sound) / RATE
    assert voice.aligned
    assert [word.text for word in voice.words] == TEXT.split()
    assert [TEXT[word.first : word.last] for word in voice.words] == TEXT.split()
    assert [word.text for word in voice.words if word.ends_sentence] == ["tonight.", "straits."]
    gap = (voice.words[4].end, voice.words[5].start)
    spoken = (voice.words[2].start, voice.words[3].end)
    assert loudness(sound, *spoken) > 5 * loudness(sound, gap[1] - 0.1, gap[1])
    assert 0 < voice.seconds - voice.words[-1].end < 1


def test_a_long_script_is_spoken_in_parts_that_know_their_surroundings(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = studio.make(elevenlabs)
    standins.requests.clear()
    monkeypatch.setattr(speaking, "LONGEST_PART", 40)
    voice = studio.make(elevenlabs)
    said = [asked.request.json() for asked in standins.asked("elevenlabs")]
    assert [each["text"] for each in said] == [
        "The sea is calm tonight.",
        "The tide is full,",
        "the moon lies fair upon the straits.",
    ]
    assert said[1]["previous_text"] == "The sea is calm tonight. "
    assert said[1]["next_text"].strip() == "the moon lies fair upon the straits."
    sound = samples(voice, studio.work, studio.folder)
    assert voice.seconds == len(sound) / RATE
    assert [(word.text, word.first) for word in voice.words] == [(word.text, word.first) for word in whole.words]
    assert all(before.end <= after.start + 0.01 for before, after in pairwise(voice.words))
    for word in voice.words:
        assert loudness(sound, word.start, word.end) > 50
    assert max(after.start - before.end for before, after in pairwise(voice.words)) < 0.8


def test_without_times_words_are_spread_over_the_sound(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio
) -> None:
    standins.fault("elevenlabs.no_alignment")
    voice = studio.make(elevenlabs)
    assert not voice.aligned
    # Over what is heard: not over the silence around it.
    assert voice.words[0].start == pytest.approx(speaking.LEAD, abs=0.05)
    assert voice.seconds - voice.words[-1].end == pytest.approx(speaking.LAST_PAUSE, abs=0.3)
    assert all(before.end < after.start for before, after in pairwise(voice.words))


def test_silence_around_a_part_is_cut_to_a_pause(studio: Studio) -> None:
    # Times that end before the sound does: nothing that is heard is cut off.
    service = Said(Speech(hum(300), Alignment(tuple("Hum."), (1.5, 1.7, 1.8, 1.9), (1.7, 1.8, 1.9, 6.0))))
    key = studio.key(service, "Hum.")
    voice = studio.work.get(key, VoiceOver, soon())
    assert voice.seconds == pytest.approx(speaking.LEAD + 1 + speaking.LAST_PAUSE, abs=0.06)
    (word,) = voice.words
    assert word.start == pytest.approx(speaking.LEAD, abs=0.03)
    assert word.end == pytest.approx(speaking.LEAD + 0.4, abs=0.03)
    heard = samples(voice, studio.work, studio.folder)
    assert loudness(heard, 0.1, 1.0) > 1000


def test_silence_alone_is_no_speech(studio: Studio) -> None:
    make_silence = [program(), "-v", "error", "-f", "lavfi", "-i", "anullsrc=d=1", "-f", "mp3", "-"]
    sound = subprocess.run(make_silence, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    service = Said(Speech(sound, None))
    with pytest.raises(UnreadableMedia):
        studio.key(service, "Hum.")


def test_nothing_is_paid_for_twice(elevenlabs: ElevenLabs, standins: StandIns, studio: Studio) -> None:
    studio.make(elevenlabs)
    studio.make(elevenlabs)
    assert len(standins.asked("elevenlabs")) == 1


def test_a_voice_over_whose_sound_is_gone_is_made_again_from_the_speech_that_was_paid_for(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio, storage: FolderStorage
) -> None:
    first = studio.make(elevenlabs)
    storage.delete(SETTINGS.outputs_bucket, first.audio_key)

    again = studio.make(elevenlabs)

    assert again == first
    assert samples(again, studio.work, studio.folder)
    assert len(standins.asked("elevenlabs")) == 1


def test_speech_whose_sound_is_gone_is_asked_for_again_and_is_not_taken_for_the_first(
    studio: Studio, storage: FolderStorage
) -> None:
    first = studio.make(Said(Speech(hum(300), None)), "Hum.")
    (speech,) = [key for key in studio.work.written if key.startswith("work/speech/") and key.endswith(".mp3")]
    for key in (first.audio_key, speech):
        storage.delete(SETTINGS.outputs_bucket, key)

    again = studio.make(Said(Speech(hum(600), None)), "Hum.")

    assert again.audio_key != first.audio_key, "what was made of the first sound is not used for this one"


def test_a_voice_over_that_is_there_relies_on_its_parts_too(elevenlabs: ElevenLabs, studio: Studio) -> None:
    studio.make(elevenlabs)
    again = replace(studio, work=studio.work.track(""))

    again.key(elevenlabs)

    assert again.work.used == studio.work.used
    assert not again.work.written
    assert {key.split("/")[1] for key in again.work.used} == {"voice", "speech"}


def test_parts_that_were_paid_for_are_kept_when_a_later_one_fails(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(speaking, "LONGEST_PART", 40)
    monkeypatch.setattr("functions.video.providers.client.TRIES", 1)
    standins.fault("elevenlabs.error", match='the moon lies fair upon the straits.", "model')
    with pytest.raises(ProviderFailed):
        studio.make(elevenlabs)
    paid = len(standins.asked("elevenlabs"))
    for left in studio.folder.iterdir():
        left.unlink()
    studio.make(elevenlabs)
    assert (paid, len(standins.asked("elevenlabs"))) == (3, 4)


def test_a_script_that_is_too_long_is_refused_before_it_costs(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio
) -> None:
    with pytest.raises(ScriptTooLong):
        studio.make(elevenlabs, "a" * (SETTINGS.max_script_characters + 1))
    assert standins.asked("elevenlabs") == []


def test_a_script_that_takes_too_long_to_say_is_refused(elevenlabs: ElevenLabs, studio: Studio) -> None:
    short = replace(SETTINGS, max_video_seconds=2.0)
    with pytest.raises(ScriptTooLong, match="2 s"):
        studio.key(elevenlabs, settings=short)


def test_a_script_without_words_is_refused(elevenlabs: ElevenLabs, studio: Studio) -> None:
    with pytest.raises(ProviderRefused):
        studio.make(elevenlabs, " \n ")


def test_sound_that_is_none_is_not_asked_for_again(
    elevenlabs: ElevenLabs, standins: StandIns, studio: Studio, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base64.b64decode", lambda *_, **__: b"no sound at all" * 100)
    with pytest.raises(UnreadableMedia):
        studio.make(elevenlabs)
    assert len(standins.asked("elevenlabs")) == 1


@given(st.text(alphabet="ab .,!?\n\u4f60\u3002", max_size=200), st.integers(1, 50))
@settings(max_examples=300, deadline=None)
def test_parts_hold_all_of_a_text_in_order_and_no_more_than_allowed(text: str, longest: int) -> None:
    cuts = parts(text, longest)
    assert all(0 < last - first <= longest for first, last in cuts)
    assert all(before[1] <= after[0] for before, after in pairwise(cuts))
    assert "".join("".join(text[first:last].split()) for first, last in cuts) == "".join(text.split())


def test_a_cut_is_where_a_reader_breathes() -> None:
    text = "One two. Three four, five six seven eight."
    assert [text[first:last] for first, last in parts(text, 25)] == ["One two.", "Three four,", "five six seven eight."]
    assert ["aaa bbb ccc"[first:last] for first, last in parts("aaa bbb ccc", 8)] == ["aaa bbb", "ccc"]
    assert ["abcdefgh"[first:last] for first, last in parts("abcdefgh", 3)] == ["abc", "def", "gh"]


@pytest.mark.parametrize(
    ("text", "ends"),
    [
        ("Ask Dr. Smith, e.g. today", ["today"]),
        ("Really?! \u201cYes.\u201d Done", ["Really?!", "\u201cYes.\u201d", "Done"]),
        ("a line\nthat goes on", ["on"]),
        ("A headline\n \nand a text", ["headline", "text"]),
        ("The end", ["end"]),
    ],
)
def test_sentences_end_where_a_reader_would_stop(text: str, ends: list[str]) -> None:
    found = joined_words([words(text, evenly(text, 9.0), 0, 0.0, 9.0)])
    assert [word.text for word in found if word.ends_sentence] == ends


def test_a_pause_is_not_part_of_the_word_before_it() -> None:
    told = Alignment(tuple("So, go"), (0.0, 0.1, 0.2, 0.8, 0.9, 1.0), (0.1, 0.2, 0.8, 0.9, 1.0, 1.1))
    found = words("So, go", told, 0, 10.0, 2.0)
    assert [(word.text, word.start, word.end) for word in found] == [("So,", 10.0, 10.2), ("go", 10.9, 11.1)]


def test_signs_over_and_under_a_letter_stay_with_it() -> None:
    text = "\u0e01\u0e33\u0e25\u0e31\u0e07\u0e40\u0e14\u0e34\u0e19\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48"  # Thai
    found = [word.text for word in words(text, evenly(text, 9.0), 0, 0.0, 9.0)]
    assert "".join(found) == text
    assert all(unicodedata.category(word[0]) != "Mn" for word in found)


def test_scripts_without_blanks_have_words_too() -> None:
    text = "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec"
    found = words(text, evenly(text, 9.0), 100, 1.0, 9.0)
    assert [word.text for word in found] == ["\u4eca\u5929\u5929\u6c14", "\u5f88\u597d\u3002", "\u6211\u4eec"]
    assert [(word.first, word.last) for word in found] == [(100, 104), (104, 107), (107, 109)]
    assert [word.ends_sentence for word in found] == [False, True, False]
    assert (found[0].start, found[-1].end) == (1.0, 10.0)


@pytest.mark.parametrize(
    "odd",
    [
        Alignment(("a", "b"), (0.0, 0.1), (0.1, 0.2)),
        Alignment(tuple("abc"), (0.0, 0.1), (0.1, 0.2, 0.3)),
        Alignment(tuple("abc"), (0.0, 0.2, 0.1), (0.1, 0.2, 0.3)),
        Alignment(tuple("abc"), (0.0, 0.1, 0.2), (0.1, 0.2, float("nan"))),
        Alignment(tuple("abc"), (-1.0, 0.1, 0.2), (0.1, 0.2, 0.3)),
        Alignment(tuple("abc"), (0.0, 0.1, 0.2), (0.1, 0.2, 30.0)),
    ],
)
def test_times_that_cannot_be_true_are_not_used(odd: Alignment) -> None:
    assert not odd.fits("abc", 1.0)
    assert evenly("abc", 1.0).fits("abc", 1.0)
