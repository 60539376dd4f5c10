"""The finished video and its poster against ffmpeg's own reading."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.render import assemble, poster
from functions.video.values import Clip, Footage, Plan, Rendition, Segment, VideoRequest, VoiceIdentity, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import EncodingFailed, LabelFailed, StorageFailed
from layers.media.c2pa_label import read_manifest
from layers.media.ffmpeg import run
from layers.media.mp4 import read_index
from layers.media.xmp_label import SOURCE_TYPE, read_label, read_mp4_label
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import count, frames, order, probe
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, storage

__all__ = ["artifacts", "folder", "storage"]  # fixtures

COLOURS = ("red", "lime", "blue")
LENGTHS = (31, 45, 28)  # frames
SECONDS = 3.45  # half a frame less than the clips have
X264 = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-video_track_timescale", "15360"]


def soon() -> Deadline:
    return Deadline.after(600)


def footage(number: int) -> Footage:
    return Footage(f"test:{number}", 9, "", "", "", (Rendition("https://a.example/", 720, 1280),))


@pytest.fixture
def voice(artifacts: ArtifactStore, tmp_path: Path) -> VoiceOver:
    return speech(artifacts, tmp_path, "aevalsrc='0.05*sin(2000*t)*gt(sin(6*t),0)':s=44100")


def speech(artifacts: ArtifactStore, tmp_path: Path, source: str) -> VoiceOver:
    path = tmp_path / "voice.flac"
    run(["-f", "lavfi", "-i", source, "-t", str(SECONDS), "-ac", "1", str(path)], deadline=soon())
    key = artifacts.key("voice", "flac", source)
    artifacts.put_file(key, path, "audio/flac")
    return VoiceOver(key, SECONDS, (), True, VoiceIdentity("fixed", "m1", "mp3"))


@pytest.fixture(scope="module")
def clip_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Encoded once for all tests; the first frame of each is white."""
    paths = [tmp_path_factory.mktemp("clips") / f"{colour}.mp4" for colour in COLOURS]
    for colour, length, path in zip(COLOURS, LENGTHS, paths, strict=True):
        source = f"color={colour}:size=720x1280:rate=30,drawbox=color=white:t=fill:enable='eq(n,0)',setsar=1"
        run(["-f", "lavfi", "-i", source, "-frames:v", str(length), *X264, str(path)], deadline=soon())
    return paths


@pytest.fixture
def clips(artifacts: ArtifactStore, clip_files: list[Path]) -> list[Clip]:
    for path in clip_files:
        artifacts.put_file(f"work/clip/{path.name}", path, "video/mp4")
    return [
        Clip(f"work/clip/{path.name}", index, length, footage(index), 0)
        for index, (path, length) in enumerate(zip(clip_files, LENGTHS, strict=True))
    ]


def plan() -> Plan:
    starts = (0, LENGTHS[0], LENGTHS[0] + LENGTHS[1])
    segments = tuple(Segment(i, starts[i], LENGTHS[i], footage(i)) for i in range(3))
    return Plan(sum(LENGTHS), segments, ())


def context(artifacts: ArtifactStore, folder: Path) -> StepContext:
    return step_context(
        FolderStorage(folder.parent / "buckets"),
        artifacts,
        folder,
        settings=SETTINGS,
        request=VideoRequest("", ""),
        deadline=soon(),
    )


def join(clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path) -> tuple[str, Path]:
    """The key and the file."""
    key = assemble.join(plan(), clips, voice, context(artifacts, folder))
    assert list(folder.iterdir()) == []
    path = folder.parent / "short.mp4"
    artifacts.get_file(key, path, 1 << 26, soon())
    return key, path


def sound(path: Path, rate: int = 48_000) -> np.ndarray:
    """Samples [N, 2] from -1 to 1."""
    raw = path.with_suffix(".pcm")
    run(["-i", str(path), "-vn", "-ar", str(rate), "-f", "f32le", str(raw)], deadline=soon())
    return np.frombuffer(raw.read_bytes(), np.float32).reshape(-1, 2)


def loudness(path: Path) -> tuple[float, float]:
    """Integrated loudness in LUFS and true peak in dBTP, as ffmpeg's EBU R 128 meter reads them."""
    log = probe(path, "-vn", "-af", "ebur128=peak=true")
    summary = log[log.rindex("Summary:") :]
    matches = [re.search(rf"{name}:\s+(\S+) {unit}", summary) for name, unit in (("I", "LUFS"), ("Peak", "dBFS"))]
    assert matches[0]
    assert matches[1]
    return float(matches[0][1]), float(matches[1][1])


def test_the_clips_follow_one_another_in_the_plans_order(
    clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path
) -> None:
    _, path = join(clips[::-1], voice, artifacts, folder)
    assert count(path) == sum(LENGTHS)
    pictures = frames(path, 18, 32)
    inside = [pictures[at] for at in (5, 30, 36, 75, 80, 103)]
    assert order(inside) == ["r", "r", "g", "g", "b", "b"]
    assert [n for n, picture in enumerate(pictures) if picture.min() > 200] == [0, 31, 76]


def test_players_find_what_they_expect(
    clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path
) -> None:
    _, path = join(clips, voice, artifacts, folder)
    log = probe(path)
    assert re.search(r"Video: h264 .*yuv420p.*720x1280 \[SAR 1:1 .*30 fps, .*15360 tbn", log)
    assert re.search(r"Audio: aac \(LC\) .* 48000 Hz, stereo", log)
    assert not re.search("warn|error|DTS|invalid", log, re.IGNORECASE)
    length = re.search(r"Duration: 00:00:(\d\d\.\d\d)", log)
    assert length is not None
    assert float(length[1]) == pytest.approx(SECONDS, abs=1 / 30)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")
    index = read_index(lambda at, length: data[at : at + length], len(data))
    assert index.seconds == pytest.approx(sum(LENGTHS) / 30)
    assert len(sound(path)) / 48_000 == pytest.approx(SECONDS, abs=0.03)


def test_the_copied_pictures_are_the_clips_own(
    clips: list[Clip], clip_files: list[Path], voice: VoiceOver, artifacts: ArtifactStore, folder: Path
) -> None:
    _, path = join(clips, voice, artifacts, folder)
    apart = [frames(each, 36, 64) for each in clip_files]
    assert np.array_equal(frames(path, 36, 64), np.concatenate(apart))


def test_a_click_is_heard_when_its_flash_is_seen(
    clips: list[Clip], artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    # The flashes: frames 0, 31 and 76 at 30 a second. Each comes with 20 ms of a tone.
    gates = "+".join(f"between(t,{at / 30},{at / 30 + 0.02})" for at in (31, 76))
    voice = speech(artifacts, tmp_path, f"aevalsrc='0.3*sin(6000*t)*({gates})':s=44100")
    _, path = join(clips, voice, artifacts, folder)
    level = np.abs(sound(path)[:, 0])
    loud = np.flatnonzero(level > 0.3 * level.max()) / 48_000
    assert loud.min() == pytest.approx(31 / 30, abs=0.004)
    second = loud[loud > 2]
    assert second.min() == pytest.approx(76 / 30, abs=0.004)
    assert second.max() == pytest.approx(76 / 30 + 0.02, abs=0.006)


@pytest.mark.parametrize(
    "source",
    [
        "aevalsrc='0.004*sin(2000*t)*gt(sin(6*t),-0.5)':s=44100",  # quiet
        "aevalsrc='0.95*sin(2000*t)':s=44100",  # loud
        "aevalsrc='0.9*exp(-18*mod(t,0.3))*sin(3000*t)':s=44100",  # with high peaks
    ],
)
def test_any_voice_is_as_loud_as_the_apps_play(
    source: str, clips: list[Clip], artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    _, path = join(clips, speech(artifacts, tmp_path, source), artifacts, folder)
    level, peak = loudness(path)
    assert level == pytest.approx(assemble.LOUDNESS, abs=1.0)
    assert peak <= -1.0
    both = sound(path)
    assert np.abs(both[:, 0] - both[:, 1]).max() < 0.01


def test_a_pop_does_not_make_the_speech_quiet(
    clips: list[Clip], artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """Speech at about -36 LUFS, and for 40 ms a noise at full scale."""
    pop = "0.014*sin(2000*t)*gt(sin(6*t),-0.6)+0.9*(random(0)*2-1)*between(t,0.5,0.54)"
    _, path = join(clips, speech(artifacts, tmp_path, f"aevalsrc='{pop}':s=44100"), artifacts, folder)

    speech_only = tmp_path / "after.wav"
    run(["-i", str(path), "-vn", "-ss", "1.2", str(speech_only)], deadline=soon())

    assert loudness(speech_only)[0] == pytest.approx(-14.0, abs=2.0)
    assert loudness(path)[1] < 0.0


def test_silence_stays_silent(clips: list[Clip], artifacts: ArtifactStore, folder: Path, tmp_path: Path) -> None:
    _, path = join(clips, speech(artifacts, tmp_path, "anullsrc=cl=mono:r=44100"), artifacts, folder)
    assert np.abs(sound(path)).max() < 0.001


def test_the_video_and_its_poster_say_how_they_were_made(
    clips: list[Clip], clip_files: list[Path], voice: VoiceOver, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    key, path = join(clips, voice, artifacts, folder)
    assert read_mp4_label(path) == SOURCE_TYPE
    with path.open("rb") as file:
        actions = read_manifest(file, "video/mp4", "").actions
    assert [each.get("softwareAgent") for each in actions] == [None, None, "fixed"]
    assert read_mp4_label(clip_files[0]) is None
    picture = poster.make(key, plan(), context(artifacts, folder))
    assert list(folder.iterdir()) == []
    artifacts.get_file(picture, tmp_path / "poster.jpg", 1 << 24, soon())
    data = (tmp_path / "poster.jpg").read_bytes()
    assert read_label(data) == SOURCE_TYPE
    with Image.open(io.BytesIO(data)) as opened:
        assert (opened.format, opened.size) == ("JPEG", (720, 1280))
        # A third in, the second clip shows; its flash is not what stands for the video.
        assert order([np.asarray(opened.convert("RGB"))]) == ["g"]
        assert np.asarray(opened).mean() < 130


@pytest.mark.parametrize("error", [StorageFailed, LabelFailed])
def test_what_cannot_be_signed_is_not_kept(
    clips: list[Clip],
    voice: VoiceOver,
    artifacts: ArtifactStore,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
) -> None:
    def fail(_: str) -> None:
        raise error("The key cannot be had.")

    key, _ = join(clips, voice, artifacts, folder)
    (tmp_path / "buckets" / SETTINGS.outputs_bucket / key).unlink()
    objects = set(tmp_path.glob("buckets/**/*"))
    with monkeypatch.context() as patch:
        patch.setattr(assemble, "signing_chain", fail)
        with pytest.raises(error):
            join(clips, voice, artifacts, folder)
    assert set(tmp_path.glob("buckets/**/*")) == objects
    assert list(folder.iterdir()) == []

    join(clips, voice, artifacts, folder)
    objects = set(tmp_path.glob("buckets/**/*"))
    monkeypatch.setattr(poster, "signing_chain", fail)
    with pytest.raises(error):
        poster.make(key, plan(), context(artifacts, folder))
    assert set(tmp_path.glob("buckets/**/*")) == objects


def test_what_exists_is_not_made_again(
    clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, _ = join(clips, voice, artifacts, folder)
    monkeypatch.setattr(assemble, "run", None)
    assert join(clips, voice, artifacts, folder)[0] == key
    again = poster.make(key, plan(), context(artifacts, folder))
    monkeypatch.setattr(poster, "run", None)
    assert poster.make(key, plan(), context(artifacts, folder)) == again


def test_clips_of_another_plan_are_not_joined(
    clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path
) -> None:
    for wrong in (clips[:2], [*clips[:2], replace(clips[2], frames=27)], []):
        with pytest.raises(EncodingFailed):
            join(wrong, voice, artifacts, folder)


def test_sound_that_was_made_beside_the_clips_is_not_made_again(
    clips: list[Clip], voice: VoiceOver, artifacts: ArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = assemble.make_sound(voice, context(artifacts, folder))
    assert assemble.make_sound(voice, context(artifacts, folder)) == key
    assert list(folder.iterdir()) == []
    monkeypatch.setattr(assemble, "_loudness_filters", None)
    _, path = join(clips, voice, artifacts, folder)
    assert loudness(path)[0] == pytest.approx(assemble.LOUDNESS, abs=1.0)
