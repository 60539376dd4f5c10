"""The voice-over: chunks, joints, words and their times, and what is paid for only once."""

from __future__ import annotations

import array
import re
import subprocess
import unicodedata
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.providers.elevenlabs import ElevenLabs
from functions.video.providers.interfaces import Payment, VoiceService
from functions.video.providers.payments import Payments
from functions.video.render import script_chunks, voice_over
from functions.video.render.alignment import Alignment, Speech, align_words, estimate_times, join_words
from functions.video.render.caption_drawing import render_ass
from functions.video.render.captions import lay_out_pages, render_srt, render_vtt
from functions.video.render.script_chunks import split_text
from functions.video.render.voice_over import RATE
from functions.video.settings import VideoSettings
from functions.video.values import VideoRequest, VoiceIdentity, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import ProviderFailed, ProviderRefused, ScriptTooLong, UnreadableMedia
from layers.media.ffmpeg import program
from local.standins.servers import StandIns
from tests.support.step_context import step_context
from tests.unit.video.fixtures import (
    SETTINGS,
    artifacts,
    elevenlabs,
    folder,
    payments,
    running,
    soon,
    standins,
    storage,
)

__all__ = ["artifacts", "elevenlabs", "folder", "payments", "running", "standins", "storage"]

TEXT = "The sea is calm tonight. The tide is full, the moon lies fair upon the straits."
VOICE = "JBFqnCBsd6RMkjVDRZzb"


class FixedVoice:
    """A voice service that always returns the same speech."""

    longest_request, obeys_breaks = 100, True
    identity = VoiceIdentity("fixed", "m1", "mp3")

    def __init__(self, speech: Speech) -> None:
        self._speech = speech

    def speak(
        self, text: str, *, voice_id: str, before: str, after: str, deadline: Deadline, payment: Payment
    ) -> Speech:
        return self._speech


@dataclass
class VoiceOverMaker:
    """A step that makes voice-overs."""

    storage: FolderStorage
    artifacts: ArtifactStore
    payments: Payments
    folder: Path

    def key(self, service: VoiceService, text: str = TEXT, settings: VideoSettings = SETTINGS) -> str:
        """The voice-over's key in the artifact store."""
        context = step_context(
            self.storage,
            self.artifacts,
            self.folder,
            settings=settings,
            request=VideoRequest(text, ""),
            deadline=soon(),
            payments=self.payments,
        )
        return voice_over.make(VOICE, service, context)

    def make(self, service: VoiceService, text: str = TEXT) -> VoiceOver:
        """The voice-over."""
        key = self.key(service, text)
        assert list(self.folder.iterdir()) == []
        return self.artifacts.get(key, VoiceOver, soon())


@pytest.fixture
def maker(storage: FolderStorage, artifacts: ArtifactStore, payments: Payments, folder: Path) -> VoiceOverMaker:
    return VoiceOverMaker(storage, artifacts, payments, folder)


def hum(frequency: int) -> bytes:
    """A second of a tone as MP3, with silence before and after it."""
    tone = f"sine=frequency={frequency}:duration=1:sample_rate=44100,adelay=1500,apad=pad_dur=4"
    make = [program(), "-v", "error", "-f", "lavfi", "-i", tone, "-b:a", "128k", "-f", "mp3", "-"]
    return subprocess.run(make, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def samples(voice: VoiceOver, artifacts: ArtifactStore, folder: Path) -> array.array[int]:
    """The sound as ffmpeg decodes it."""
    path = folder / "read.flac"
    artifacts.get_file(voice.audio_key, path, 1 << 30, soon())
    read = [program(), "-v", "error", "-i", str(path), "-f", "s16le", "-"]
    raw = subprocess.run(read, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    path.unlink()
    return array.array("h", raw)


def loudness(sound: array.array[int], start: float, end: float) -> float:
    """The mean of the absolute samples between two times."""
    part = sound[round(start * RATE) : round(end * RATE)]
    return sum(map(abs, part)) / max(len(part), 1)


def test_words_are_where_the_sound_is(elevenlabs: ElevenLabs, maker: VoiceOverMaker) -> None:
    voice = maker.make(elevenlabs)
    sound = samples(voice, maker.artifacts, maker.folder)
    assert voice.seconds == len(sound) / RATE
    assert voice.aligned
    assert voice.speaker == elevenlabs.identity
    assert [word.text for word in voice.words] == TEXT.split()
    assert [TEXT[word.first : word.last] for word in voice.words] == TEXT.split()
    assert [word.text for word in voice.words if word.ends_sentence] == ["tonight.", "straits."]
    gap = (voice.words[4].end, voice.words[5].start)
    spoken = (voice.words[2].start, voice.words[3].end)
    assert loudness(sound, *spoken) > 5 * loudness(sound, gap[1] - 0.1, gap[1])
    assert 0 < voice.seconds - voice.words[-1].end < 1


def test_a_long_script_is_spoken_in_parts_that_know_their_surroundings(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = maker.make(elevenlabs)
    standins.requests.clear()
    monkeypatch.setattr(script_chunks, "LONGEST_CHUNK_CHARACTERS", 40)
    voice = maker.make(elevenlabs)
    requests = [recorded.request.json() for recorded in standins.requests_to("elevenlabs")]
    assert [each["text"] for each in requests] == [
        "The sea is calm tonight.",
        "The tide is full,",
        "the moon lies fair upon the straits.",
    ]
    assert requests[1]["previous_text"] == "The sea is calm tonight. "
    assert requests[1]["next_text"].strip() == "the moon lies fair upon the straits."
    sound = samples(voice, maker.artifacts, maker.folder)
    assert voice.seconds == len(sound) / RATE
    assert [(word.text, word.first) for word in voice.words] == [(word.text, word.first) for word in whole.words]
    assert all(before.end <= after.start + 0.01 for before, after in pairwise(voice.words))
    for word in voice.words:
        assert loudness(sound, word.start, word.end) > 50
    assert max(after.start - before.end for before, after in pairwise(voice.words)) < 0.8


def test_without_times_words_are_spread_over_the_sound(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker
) -> None:
    standins.fault("elevenlabs.no_alignment")
    voice = maker.make(elevenlabs)
    assert not voice.aligned
    # Over what is heard: not over the silence around it.
    assert voice.words[0].start == pytest.approx(voice_over.LEAD, abs=0.05)
    assert voice.seconds - voice.words[-1].end == pytest.approx(voice_over.LAST_PAUSE, abs=0.3)
    assert all(before.end < after.start for before, after in pairwise(voice.words))


def test_silence_around_a_part_is_cut_to_a_pause(maker: VoiceOverMaker) -> None:
    # Times that end before the sound does: nothing that is heard is cut off.
    service = FixedVoice(Speech(hum(300), Alignment(tuple("Hum."), (1.5, 1.7, 1.8, 1.9), (1.7, 1.8, 1.9, 6.0))))
    key = maker.key(service, "Hum.")
    voice = maker.artifacts.get(key, VoiceOver, soon())
    assert voice.seconds == 3.0, "as short as the apps accept"
    (word,) = voice.words
    assert word.start == pytest.approx(voice_over.LEAD, abs=0.03)
    assert word.end == pytest.approx(voice_over.LEAD + 0.4, abs=0.03)
    sound = samples(voice, maker.artifacts, maker.folder)
    assert loudness(sound, 0.1, 1.0) > 1000


def cut_off(frequency: int, seconds: float = 4.0) -> bytes:
    """A tone as MP3 that ends with its last audible sample."""
    tone = f"sine=frequency={frequency}:duration={seconds}:sample_rate=44100"
    make = [program(), "-v", "error", "-f", "lavfi", "-i", tone, "-b:a", "128k", "-f", "mp3", "-"]
    return subprocess.run(make, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def test_speech_that_ends_abruptly_gets_the_pauses_that_others_have(
    maker: VoiceOverMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_chunks, "LONGEST_CHUNK_CHARACTERS", 12)

    voice = maker.make(FixedVoice(Speech(cut_off(300), None)), "First part. Second one.")

    sound = samples(voice, maker.artifacts, maker.folder)
    audible = [at / 100 for at in range(len(sound) // 441) if loudness(sound, at / 100, at / 100 + 0.01) > 200]
    gaps = [after - before for before, after in pairwise(audible) if after - before > 0.1]
    assert gaps == [pytest.approx(0.3, abs=0.06)]
    assert voice.seconds - audible[-1] == pytest.approx(0.45, abs=0.04)
    assert voice.words[-1].end <= voice.seconds - 0.45 + 0.04, "the last word is not cut"


def test_markup_is_neither_sent_nor_shown_but_for_pauses_that_the_service_obeys(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker
) -> None:
    voice = maker.make(elevenlabs, 'Wait **for** it. <break time="1500ms"/> <s>Here</s> it comes.')

    (recorded,) = standins.requests_to("elevenlabs")
    assert recorded.request.json()["text"].split() == (
        ["Wait", "for", "it.", "<break", 'time="1.5s"', "/>", "Here", "it", "comes."]
    )
    assert [word.text for word in voice.words] == ["Wait", "for", "it.", "Here", "it", "comes."]
    assert [word.text for word in voice.words if word.ends_sentence] == ["it.", "Here", "comes."]
    assert lay_out_pages(voice.words)[0].lines[-1][-1].text == "it."
    for document in (render_srt(voice.words), render_vtt(voice.words), render_ass(voice.words, 0, 900)):
        assert not re.search("<|break|1500|1[.]5s|[*]{2}", document.partition("[Events]")[2] or document)


def test_silence_alone_is_no_speech(maker: VoiceOverMaker) -> None:
    make_silence = [program(), "-v", "error", "-f", "lavfi", "-i", "anullsrc=d=1", "-f", "mp3", "-"]
    sound = subprocess.run(make_silence, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout
    service = FixedVoice(Speech(sound, None))
    with pytest.raises(UnreadableMedia):
        maker.key(service, "Hum.")


def test_nothing_is_paid_for_twice(elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker) -> None:
    maker.make(elevenlabs)
    maker.make(elevenlabs)
    assert len(standins.requests_to("elevenlabs")) == 1


def test_a_voice_over_whose_sound_is_gone_is_made_again_from_the_speech_that_was_paid_for(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker, storage: FolderStorage
) -> None:
    first = maker.make(elevenlabs)
    storage.delete(SETTINGS.outputs_bucket, first.audio_key)

    again = maker.make(elevenlabs)

    assert again == first
    assert samples(again, maker.artifacts, maker.folder)
    assert len(standins.requests_to("elevenlabs")) == 1


def test_speech_whose_sound_is_gone_is_asked_for_again_and_is_not_taken_for_the_first(
    maker: VoiceOverMaker, storage: FolderStorage
) -> None:
    first = maker.make(FixedVoice(Speech(hum(300), None)), "Hum.")
    (speech,) = [key for key in maker.artifacts.written if key.startswith("work/speech/") and key.endswith(".mp3")]
    for key in (first.audio_key, speech):
        storage.delete(SETTINGS.outputs_bucket, key)

    again = maker.make(FixedVoice(Speech(hum(600), None)), "Hum.")

    assert again.audio_key != first.audio_key, "what was made of the first sound is not used for this one"


def test_a_voice_over_that_is_there_relies_on_its_parts_too(elevenlabs: ElevenLabs, maker: VoiceOverMaker) -> None:
    maker.make(elevenlabs)
    again = replace(maker, artifacts=maker.artifacts.track(""))

    again.key(elevenlabs)

    assert again.artifacts.used == maker.artifacts.used
    assert not again.artifacts.written
    assert {key.split("/")[1] for key in again.artifacts.used} == {"voice", "speech"}


def test_parts_that_were_paid_for_are_kept_when_a_later_one_fails(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script_chunks, "LONGEST_CHUNK_CHARACTERS", 40)
    monkeypatch.setattr("functions.video.providers.client.TRIES", 1)
    standins.fault("elevenlabs.error", match='the moon lies fair upon the straits.", "model')
    with pytest.raises(ProviderFailed):
        maker.make(elevenlabs)
    paid = len(standins.requests_to("elevenlabs"))
    for left in maker.folder.iterdir():
        left.unlink()
    maker.make(elevenlabs)
    assert (paid, len(standins.requests_to("elevenlabs"))) == (3, 4)


def test_a_script_that_is_too_long_is_refused_before_it_costs(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker
) -> None:
    with pytest.raises(ScriptTooLong):
        maker.make(elevenlabs, "a" * (SETTINGS.max_script_characters + 1))
    assert standins.requests_to("elevenlabs") == []


def test_a_script_that_takes_too_long_to_say_is_refused(elevenlabs: ElevenLabs, maker: VoiceOverMaker) -> None:
    short = replace(SETTINGS, max_video_seconds=2.0)
    with pytest.raises(ScriptTooLong, match="2 s"):
        maker.key(elevenlabs, settings=short)


def test_a_script_without_words_is_refused(elevenlabs: ElevenLabs, maker: VoiceOverMaker) -> None:
    with pytest.raises(ProviderRefused):
        maker.make(elevenlabs, " \n ")


def test_sound_that_is_none_is_not_asked_for_again(
    elevenlabs: ElevenLabs, standins: StandIns, maker: VoiceOverMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base64.b64decode", lambda *_, **__: b"no sound at all" * 100)
    with pytest.raises(UnreadableMedia):
        maker.make(elevenlabs)
    assert len(standins.requests_to("elevenlabs")) == 1


@given(st.text(alphabet="ab .,!?\n\u4f60\u3002", max_size=200), st.integers(1, 50))
@settings(max_examples=300)
def test_parts_hold_all_of_a_text_in_order_and_no_more_than_allowed(text: str, longest: int) -> None:
    cuts = split_text(text, longest)
    assert all(0 < last - first <= longest for first, last in cuts)
    assert all(before[1] <= after[0] for before, after in pairwise(cuts))
    assert "".join("".join(text[first:last].split()) for first, last in cuts) == "".join(text.split())


def test_a_cut_is_where_a_reader_breathes() -> None:
    text = "One two. Three four, five six seven eight."
    assert [text[first:last] for first, last in split_text(text, 25)] == [
        "One two.",
        "Three four,",
        "five six seven eight.",
    ]
    assert ["aaa bbb ccc"[first:last] for first, last in split_text("aaa bbb ccc", 8)] == ["aaa bbb", "ccc"]
    assert ["abcdefgh"[first:last] for first, last in split_text("abcdefgh", 3)] == ["abc", "def", "gh"]


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
    words = join_words([align_words(text, estimate_times(text, 9.0), 0, 0.0, 9.0)], 9.0)
    assert [word.text for word in words if word.ends_sentence] == ends


def test_a_pause_is_not_part_of_the_word_before_it() -> None:
    alignment = Alignment(tuple("So, go"), (0.0, 0.1, 0.2, 0.8, 0.9, 1.0), (0.1, 0.2, 0.8, 0.9, 1.0, 1.1))
    words = align_words("So, go", alignment, 0, 10.0, 2.0)
    assert [(word.text, word.start, word.end) for word in words] == [("So,", 10.0, 10.2), ("go", 10.9, 11.1)]


def test_signs_over_and_under_a_letter_stay_with_it() -> None:
    text = "\u0e01\u0e33\u0e25\u0e31\u0e07\u0e40\u0e14\u0e34\u0e19\u0e17\u0e35\u0e48\u0e19\u0e35\u0e48"  # Thai
    words = [word.text for word in align_words(text, estimate_times(text, 9.0), 0, 0.0, 9.0)]
    assert "".join(words) == text
    assert all(unicodedata.category(word[0]) != "Mn" for word in words)


def test_scripts_without_blanks_have_words_too() -> None:
    text = "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002\u6211\u4eec"
    words = align_words(text, estimate_times(text, 9.0), 100, 1.0, 9.0)
    assert [word.text for word in words] == ["\u4eca\u5929", "\u5929\u6c14\u5f88\u597d\u3002", "\u6211\u4eec"]
    assert [(word.first, word.last) for word in words] == [(100, 102), (102, 107), (107, 109)]
    assert [word.ends_sentence for word in words] == [False, True, False]
    assert (words[0].start, words[-1].end) == (1.0, 10.0)
