"""Music under a voice, by the levels of each in windows of a finished sound; and a voice-over of the caller's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.provenance import describe_video
from functions.video.render import assemble, own_voice
from functions.video.render.music import CURVE_RATE, LIFT, gain_curve
from functions.video.render.own_file import check_uri
from functions.video.values import VideoRequest, VoiceOver, Word
from layers.core.errors import InputNotFound, InvalidRequest, RefusedUrl, UnreadableMedia
from layers.media.ffmpeg import run
from tests.support.step_context import step_context
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, soon, storage

__all__ = ["artifacts", "folder", "storage"]  # fixtures

Sound = NDArray[np.float64]
RATE = 48_000
SECONDS = 9.0
# Speech, a breath, speech, a pause of two seconds, speech.
SPANS = ((0.1, 2.0), (2.4, 4.0), (6.0, 7.8))
WORDS = tuple(Word("word", start, end, 5 * at, 5 * at + 4) for at, (start, end) in enumerate(SPANS))
SPEECH_TONE, MUSIC_TONE = 1000, 300  # Hz: by these the two are told apart
SETTINGS_WITH_BUCKETS = replace(SETTINGS, models_bucket="models", uploads_bucket="uploads")


def make_sound(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, music: str, loudness: float = 0.05
) -> Sound:
    """The finished sound of a voice that is a tone while its words are spoken; left channel."""
    spoken = "+".join(f"between(t,{start},{end})" for start, end in SPANS)
    voice = folder / "v.flac"
    tone = f"aevalsrc='{loudness}*sin(2*PI*{SPEECH_TONE}*t)*({spoken})':s=44100:d={SECONDS}"
    run(["-f", "lavfi", "-i", tone, str(voice)], deadline=soon())
    artifacts.put_file("work/voice/1.flac", voice, "audio/flac")
    voice.unlink()
    key = assemble.make_sound(
        VoiceOver("work/voice/1.flac", SECONDS, WORDS, True), context(artifacts, storage, folder, music)
    )
    path, raw = folder / "out.m4a", folder / "out.raw"
    artifacts.get_file(key, path, 1 << 24, soon())
    run(["-i", str(path), "-f", "f64le", "-ar", str(RATE), str(raw)], deadline=soon())
    samples: Sound = np.frombuffer(raw.read_bytes(), np.float64).reshape(-1, 2)
    return samples


def context(artifacts: ArtifactStore, storage: FolderStorage, folder: Path, music: str | None = None) -> StepContext:
    return step_context(
        storage,
        artifacts,
        folder,
        settings=SETTINGS_WITH_BUCKETS,
        request=VideoRequest("Say this. And that. And more.", "", music=music),
        deadline=soon(),
    )


@pytest.fixture
def tune(storage: FolderStorage, tmp_path: Path) -> str:
    """A loud tune of two seconds among the operator's, which must begin anew."""
    path = tmp_path / "tune.mp3"
    run(["-f", "lavfi", "-i", f"sine=frequency={MUSIC_TONE}:duration=2,volume=12dB", str(path)], deadline=soon())
    storage.write("models", "music/calm.mp3", path.read_bytes(), "audio/mpeg")
    return "music/calm.mp3"


def level(samples: Sound, tone: int, start: float, end: float) -> float:
    """dB of the RMS of one tone in a window."""
    window = samples[round(start * RATE) : round(end * RATE), 0]
    times = np.arange(len(window)) / RATE
    return float(20 * np.log10(abs(np.mean(window * np.exp(-2j * np.pi * tone * times))) * np.sqrt(2) + 1e-9))


def test_music_is_20_db_under_speech_and_up_to_10_db_louder_in_pauses(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, tune: str
) -> None:
    samples = make_sound(artifacts, storage, folder, tune)

    for start, end in ((0.2, 1.9), (2.5, 3.9), (6.1, 7.7)):
        assert level(samples, SPEECH_TONE, start, end) - level(samples, MUSIC_TONE, start, end) >= 20
    under = level(samples, MUSIC_TONE, 2.6, 3.8)
    assert level(samples, MUSIC_TONE, 2.05, 2.35) == pytest.approx(under, abs=1), "a breath is no pause"
    assert 6 <= level(samples, MUSIC_TONE, 4.5, 5.7) - under <= 10
    assert level(samples, MUSIC_TONE, 8.85, 9.0) < under - 10, "faded at the end"
    assert len(samples) / RATE == pytest.approx(SECONDS, abs=0.06)
    assert np.abs(samples[:, 0] - samples[:, 1]).max() < 0.02


@pytest.mark.parametrize("loudness", [0.01, 0.9])
def test_the_sum_never_clips(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, tune: str, loudness: float
) -> None:
    samples = make_sound(artifacts, storage, folder, tune, loudness)

    assert np.abs(samples).max() < 10 ** (-1 / 20)


def test_other_music_is_another_sound_and_the_same_is_made_once(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, tune: str
) -> None:
    voice = VoiceOver("work/voice/1.flac", SECONDS, WORDS, True)
    make_sound(artifacts, storage, folder, tune)
    for path in folder.iterdir():
        path.unlink()
    first = assemble.make_sound(voice, context(artifacts, storage, folder, tune))
    assert first == assemble.make_sound(voice, context(artifacts, storage, folder, tune))
    assert first != assemble.make_sound(voice, context(artifacts, storage, folder))
    assert list(folder.iterdir()) == []


def test_music_that_is_not_there_or_no_sound_has_an_error(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path
) -> None:
    with pytest.raises(InputNotFound):
        make_sound(artifacts, storage, folder, "music/none.mp3")
    storage.write("models", "music/text.mp3", b"not a sound" * 100, "audio/mpeg")
    with pytest.raises(UnreadableMedia):
        make_sound(artifacts, storage, folder, "music/text.mp3")


def test_the_curve_goes_down_before_a_word_and_up_after_it() -> None:
    curve = gain_curve(WORDS, SECONDS)
    low = 10 ** (-LIFT / 20)

    at = [curve[round(second * CURVE_RATE)] for second in (0.0, 3.0, 4.0, 5.0, 5.75, 6.0, 7.4)]
    assert at == pytest.approx([low, low, low, 1.0, 1.0, low, low], abs=0.01)
    assert curve[-1] == 0.0
    assert gain_curve((), 3.0)[0] == 1.0


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "music/../x", "s3://uploads/requests/other/a", "s3://models/x", "http://10.0.0.1/a"]
)
def test_a_sound_that_is_not_the_callers_to_name_is_refused(uri: str) -> None:
    with pytest.raises((RefusedUrl, InvalidRequest), match=r"music\.uri"):
        check_uri(uri, "music.uri", "me", SETTINGS_WITH_BUCKETS)


def test_a_recording_is_the_voice_and_its_words_have_estimated_times(
    artifacts: ArtifactStore, storage: FolderStorage, folder: Path, tmp_path: Path
) -> None:
    path = tmp_path / "own.m4a"
    source = "sine=frequency=500:duration=5,volume='if(between(t,1,4),1,0)':eval=frame"
    run(["-f", "lavfi", "-i", source, str(path)], deadline=soon())
    storage.write("uploads", "requests//own.m4a", path.read_bytes(), "audio/mp4")

    key = own_voice.make("s3://uploads/requests//own.m4a", context(artifacts, storage, folder))

    voice = artifacts.get(key, VoiceOver, soon())
    assert voice.seconds == pytest.approx(5.0, abs=0.1)
    assert (voice.own, voice.aligned, voice.speaker) == (True, False, None)
    assert [word.text for word in voice.words] == ["Say", "this.", "And", "that.", "And", "more."]
    assert voice.words[0].start == pytest.approx(1.0, abs=0.1)
    assert voice.words[-1].end == pytest.approx(4.0, abs=0.1)
    assert list(folder.iterdir()) == []
    assert own_voice.make("s3://uploads/requests//own.m4a", context(artifacts, storage, folder)) == key


def test_the_label_says_that_a_recording_is_none_of_a_machine() -> None:
    own = describe_video([], None, own_voice=True, music=True)
    assert [action.source_type for action in own.actions[1:]] == [None, None, None]
    assert [each.name for each in own.ingredients] == ["voice", "music"]
    assert describe_video([], None).actions[-1].source_type
