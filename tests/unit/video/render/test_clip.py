"""A clip against ffmpeg's own reading: the bytes that are fetched of its footage, and its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate, pairwise
from pathlib import Path

import numpy as np
import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.render import clip
from functions.video.render.clip_files import check_frames
from functions.video.render.footage_download import HEAD_BYTES, download
from functions.video.settings import VideoSettings
from functions.video.values import FPS, Clip, Footage, Plan, Quality, Rendition, Segment, VideoRequest, VoiceOver
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, MediaTooLarge, NoFootage, OutOfTime, UnreadableMedia, UpstreamFailed
from layers.media.ffmpeg import run
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import FileServer, Frames, count, difference, draw, frames, order, probe, serving
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, storage
from tests.unit.video.scripts import voice_over

__all__ = ["artifacts", "folder", "storage"]  # fixtures

VOICE = voice_over()
NOISY = ("-crf", "12")  # so that the file is large


def soon() -> Deadline:
    return Deadline.after(600)


@pytest.fixture(scope="module")
def footage_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files that several tests use."""
    root = tmp_path_factory.mktemp("drawn")
    draw(root / "sea.mp4", *NOISY, seconds=8)
    run(["-i", str(root / "sea.mp4"), "-c", "copy", str(root / "late.mp4")], deadline=soon())
    fragments = ["-c", "copy", "-movflags", "frag_keyframe+empty_moov"]
    run(["-i", str(root / "sea.mp4"), *fragments, str(root / "fragmented.mp4")], deadline=soon())
    draw(root / "small.mp4", size="180x320", seconds=1)
    return root


@pytest.fixture
def server(footage_files: Path) -> Iterator[FileServer]:
    with serving() as files:
        files.files = {path.name: path.read_bytes() for path in footage_files.glob("*.mp4")}
        yield files


def settings(server: FileServer, most_bytes: int = 1 << 26, most_pixels: int = 9_000_000) -> VideoSettings:
    origins = frozenset({server.origin})
    return replace(SETTINGS, trusted_origins=origins, threads=1, max_clip_bytes=most_bytes, max_clip_pixels=most_pixels)


def shot(server: FileServer, name: str, seconds: float = 8, width: int = 720, height: int = 1280) -> Footage:
    return Footage(f"test:{name}", seconds, "", "", "", (Rendition(server.url(name), width, height),))


def plan_of(*footage: Footage, length: int = 20, slots: int = 1) -> Plan:
    """A plan with slots of that many frames each; the rest of the footage are spares."""
    segments = tuple(Segment(i, i * length, length, footage[i]) for i in range(slots))
    return Plan(length * slots, segments, footage[slots:])


def make(
    plan: Plan,
    server: FileServer,
    artifacts: ArtifactStore,
    folder: Path,
    index: int = 0,
    *,
    captions: bool = False,
    badge: bool = False,
    quality: Quality = "draft",
    voice: VoiceOver = VOICE,
    deadline: Deadline | None = None,
    **limits: int,
) -> tuple[Clip, Path]:
    """The clip, and its file."""
    context = step_context(
        FolderStorage(folder.parent / "buckets"),
        artifacts,
        folder,
        settings=settings(server, **limits),
        request=VideoRequest("", "", captions=captions, badge=badge, quality=quality),
        deadline=deadline or soon(),
    )
    key = clip.make(plan.segments[index], plan, voice, context)
    assert list(folder.iterdir()) == []
    result = artifacts.get(key, Clip, soon())
    path = folder.parent / f"{abs(hash(result.key))}.mp4"
    artifacts.get_file(result.key, path, 100_000_000, soon())
    return result, path


def test_a_clip_whose_file_is_gone_is_made_again(
    server: FileServer, artifacts: ArtifactStore, storage: FolderStorage, folder: Path
) -> None:
    first, _ = make(plan_of(shot(server, "small.mp4", 1)), server, artifacts, folder)
    storage.delete(SETTINGS.outputs_bucket, first.key)

    again, path = make(plan_of(shot(server, "small.mp4", 1)), server, artifacts, folder)

    assert again.key == first.key
    assert count(path) == first.frames


@pytest.mark.parametrize(
    ("name", "size", "rate", "quality"),
    [
        ("24.mp4", "720x1280", 24, "standard"),
        ("60.mp4", "540x960", 60, "standard"),
        ("wide.mp4", "640x360", 30, "standard"),
        ("tall.mp4", "360x900", 29.97, "standard"),
        ("wide.mp4", "640x360", 30, "high"),
        pytest.param("24.mp4", "720x1280", 24, "high", marks=pytest.mark.full),
        pytest.param("60.mp4", "540x960", 60, "high", marks=pytest.mark.full),
        pytest.param("tall.mp4", "360x900", 29.97, "high", marks=pytest.mark.full),
    ],
)
def test_every_clip_is_alike_whatever_it_is_made_from(
    name: str,
    size: str,
    rate: float,
    quality: Quality,
    server: FileServer,
    artifacts: ArtifactStore,
    folder: Path,
    tmp_path: Path,
) -> None:
    server.files[name] = draw(tmp_path / name, size=size, rate=rate, seconds=2).read_bytes()
    result, path = make(plan_of(shot(server, name), length=40), server, artifacts, folder, quality=quality)
    assert (result.index, result.frames, result.footage.id) == (0, 40, f"test:{name}")
    assert count(path) == 40
    log = probe(path)
    assert "Duration: 00:00:01.33" in log
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709, progressive\), 720x1280 \[SAR 1:1 .*30 fps, .*15360 tbn", log)
    assert "Audio" not in log


def test_landscape_is_cropped_to_its_middle_and_not_squeezed(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    # A white disc, 200 pixels wide, in the middle of a wide picture of 360 lines.
    disc = "geq=lum='if(lt(hypot(X-320,Y-180),100),235,16)':cb=128:cr=128"
    server.files["disc.mp4"] = draw(tmp_path / "disc.mp4", "-vf", disc, size="640x360", seconds=1).read_bytes()
    _, path = make(plan_of(shot(server, "disc.mp4", width=640, height=360)), server, artifacts, folder)
    white = frames(path)[5].mean(axis=2) > 128
    rows, columns = np.flatnonzero(white.any(axis=1)), np.flatnonzero(white.any(axis=0))
    assert np.ptp(rows) == pytest.approx(200 * 1280 / 360, abs=12)
    assert np.ptp(columns) == pytest.approx(np.ptp(rows), abs=12)
    assert abs(rows.mean() - 640) < 6
    assert abs(columns.mean() - 360) < 6


@pytest.mark.parametrize("interval", ["10", "50"])
def test_wide_footage_of_which_a_part_was_fetched_is_framed_by_that_part(
    interval: str, server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """Whether its next key frame was fetched or not."""
    server.files["wide.mp4"] = draw(tmp_path / "wide.mp4", "-g", interval, size="640x360", seconds=20).read_bytes()
    result, _ = make(plan_of(shot(server, "wide.mp4", width=640, height=360)), server, artifacts, folder)

    assert result.bytes_fetched < len(server.files["wide.mp4"]) / 2


def test_only_the_needed_bytes_are_fetched_and_the_pictures_are_the_same(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    size = len(server.files["sea.mp4"])
    assert size > 3_000_000
    result, path = make(plan_of(shot(server, "sea.mp4")), server, artifacts, folder)
    assert result.bytes_fetched < size / 3
    assert server.sent == result.bytes_fetched
    assert len(server.requests) == 2
    # The same slot from the whole file.
    server.files["whole.mp4"] = server.files["sea.mp4"]
    server.behaviour = "star"
    whole, other = make(plan_of(shot(server, "whole.mp4")), server, artifacts, folder)
    assert np.array_equal(frames(path, 180, 320), frames(other, 180, 320))
    assert whole.key != result.key


@pytest.mark.parametrize("name", ["sea.mp4", "late.mp4", "fragmented.mp4"])
@pytest.mark.parametrize("behaviour", ["ranges", "whole", "wrong range", "star", "endless"])
def test_whatever_the_server_does_with_ranges_the_first_seconds_arrive(
    name: str, behaviour: str, server: FileServer, tmp_path: Path
) -> None:
    server.behaviour = behaviour
    path = tmp_path / "fetched.mp4"
    origins = frozenset({server.origin})
    result = download(server.url(name), path, 1.0, limit=1 << 26, deadline=soon(), trusted_origins=origins)
    whole = server.files[name]
    assert (result.index.codec, result.index.width, result.index.height) == ("avc1", 720, 1280)
    data = path.read_bytes()
    # The index at the front, or ranges and any index but a fragmented one.
    index_saves = name == "sea.mp4" or (behaviour, name) == ("ranges", "late.mp4")
    if index_saves:
        assert result.bytes_fetched < 0.5 * len(whole)
    else:
        assert data == whole
    first = tmp_path / "first.mp4"
    first.write_bytes(whole)
    assert np.array_equal(
        frames(path, 90, 160, "-frames:v", "25"),
        frames(first, 90, 160, "-frames:v", "25"),
    )


def test_a_small_file_is_one_request(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    assert len(server.files["small.mp4"]) < HEAD_BYTES
    result, _ = make(plan_of(shot(server, "small.mp4")), server, artifacts, folder)
    assert server.requests == [f"small.mp4 bytes=0-{HEAD_BYTES - 1}"]
    assert result.bytes_fetched == len(server.files["small.mp4"])


def test_footage_shorter_than_its_slot_begins_anew(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    _, path = make(plan_of(shot(server, "small.mp4", 1), length=75), server, artifacts, folder)
    assert count(path) == 75
    pictures = frames(path, 90, 160)
    assert difference(pictures[45], pictures[15]) < 4 < difference(pictures[15], pictures[0])


@pytest.fixture
def tones(server: FileServer, tmp_path: Path) -> dict[str, Footage]:
    """A second and a half of each colour; the services claim more of it."""
    footage = {}
    for name in ("red", "lime", "blue"):
        path = draw(tmp_path / f"{name}.mp4", source=f"color={name}", size="180x320", rate=30, seconds=1.5)
        server.files[path.name] = path.read_bytes()
        footage[name] = shot(server, path.name)
    return footage


def test_where_a_spare_is_too_short_the_next_one_goes_on(
    server: FileServer, tones: dict[str, Footage], artifacts: ArtifactStore, folder: Path
) -> None:
    plan = plan_of(shot(server, "not-there.mp4"), *tones.values(), length=90)

    result, path = make(plan, server, artifacts, folder, captions=True)

    assert [piece.footage for piece in result.pieces] == list(tones.values())
    assert sum(piece.frames for piece in result.pieces) == result.frames == count(path) == 90
    assert all(20 <= piece.frames <= 45 for piece in result.pieces)
    starts = [0, *accumulate(piece.frames for piece in result.pieces)]
    middles = [(first + after) // 2 for first, after in pairwise(starts)]
    assert order(list(frames(path, 36, 64)[middles, :16])) == ["r", "g", "b"]
    assert not re.search("warn|error|DTS|invalid", probe(path), re.IGNORECASE)
    assert re.search(r"Video: h264 .*yuv420p\(tv, bt709, progressive\), 720x1280 .*30 fps, .*15360 tbn", probe(path))


def test_a_spare_that_fills_the_slot_goes_before_those_that_do_not(
    server: FileServer, tones: dict[str, Footage], artifacts: ArtifactStore, folder: Path
) -> None:
    short = replace(tones["red"], seconds=1.5)
    plan = plan_of(shot(server, "not-there.mp4"), short, shot(server, "sea.mp4"), length=75)

    result, _ = make(plan, server, artifacts, folder)

    assert [piece.footage.id for piece in result.pieces] == ["test:sea.mp4"]


def test_footage_begins_anew_where_no_spare_goes_on(
    server: FileServer, tones: dict[str, Footage], artifacts: ArtifactStore, folder: Path
) -> None:
    plan = plan_of(tones["red"], shot(server, "not-there.mp4"), shot(server, "nor-this.mp4"), length=75)

    result, path = make(plan, server, artifacts, folder)

    assert {piece.footage.id for piece in result.pieces} == {"test:red.mp4"}
    assert sum(piece.frames for piece in result.pieces) == count(path) == 75


def test_the_last_picture_stays_where_a_service_rounded_the_length(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    """Of a second's footage, which the slot is a fifth longer than, nothing is seen twice."""
    plan = plan_of(shot(server, "small.mp4", 1), shot(server, "sea.mp4"), length=36)

    result, path = make(plan, server, artifacts, folder)

    pictures = frames(path, 90, 160)
    assert [piece.footage.id for piece in result.pieces] == ["test:small.mp4"]
    assert difference(pictures[35], pictures[30]) < 2 < 4 < difference(pictures[35], pictures[0])


def test_captions_are_where_and_when_they_should_be(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    plan = plan_of(shot(server, "small.mp4"), length=25)
    _, bare = make(plan, server, artifacts, folder)
    _, with_captions = make(plan, server, artifacts, folder, captions=True)
    pictures = frames(with_captions, 360, 640)
    changed = np.abs(pictures.astype(np.int16) - frames(bare, 360, 640)).max(axis=3) > 90
    # VOICE begins to speak at 0.1 s.
    assert not changed[:3].any()
    assert changed[5:].any(axis=(1, 2)).all()
    rows, columns = np.flatnonzero(changed.any(axis=(0, 2))), np.flatnonzero(changed.any(axis=(0, 1)))
    assert rows.min() > 0.5 * 640
    assert rows.max() < 0.78 * 640
    assert columns.min() > 20
    assert columns.max() < 340
    # Its second word is spoken from 0.34 s, the third from 0.7 s; the yellow moves on with them.
    first, second = _yellow(pictures[8]), _yellow(pictures[15])
    assert second > first + 30


def test_the_words_of_the_last_scene_are_gone_after_the_cut(artifacts: ArtifactStore, folder: Path) -> None:
    context = step_context(
        FolderStorage(folder.parent / "buckets"),
        artifacts,
        folder,
        settings=SETTINGS,
        request=VideoRequest("", "", captions=True),
        deadline=soon(),
    )
    sea = Footage("test:1", 8, "", "", "", (Rendition("https://a.example/", 720, 1280),))
    sentence = next(word for word in VOICE.words if word.ends_sentence)
    cut, frames = round(sentence.end * FPS), round(VOICE.seconds * FPS)
    plan = Plan(frames, (Segment(0, 0, cut, sea), Segment(1, cut, frames - cut, sea)), ())

    before, after = (clip.render_subtitles(segment, plan, VOICE, context)[0] for segment in plan.segments)

    assert sentence.text in before
    assert sentence.text not in after
    assert VOICE.words[-1].text in after


@pytest.mark.parametrize("captions", [pytest.param(False, marks=pytest.mark.full), True])
def test_the_badge_is_there_in_every_frame_and_nothing_else_of_it(
    server: FileServer, artifacts: ArtifactStore, folder: Path, captions: bool
) -> None:
    plan = plan_of(shot(server, "small.mp4"), length=25)
    # At a quality at which the encoder's noise is not taken for a change.
    _, bare = make(plan, server, artifacts, folder, captions=captions, quality="high")
    _, marked = make(plan, server, artifacts, folder, captions=captions, badge=True, quality="high")
    pictures = frames(marked, 360, 640)
    changed = np.abs(pictures.astype(np.int16) - frames(bare, 360, 640)).max(axis=3) > 60
    inside = (slice(None), slice(72, 102), slice(18, 60))
    assert changed[inside].any(axis=(1, 2)).all()
    assert (pictures[inside].min(axis=3) > 200).any(axis=(1, 2)).all()  # the letters
    changed[inside] = False
    assert not changed.any()


def test_captions_in_another_script_are_drawn(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    plan = plan_of(shot(server, "small.mp4"), length=10)
    _, bare = make(plan, server, artifacts, folder)
    voice = voice_over("ทะเล เก่า.", letter=0.02)
    _, path = make(plan, server, artifacts, folder, captions=True, voice=voice)

    changed = np.abs(frames(path, 360, 640).astype(np.int16) - frames(bare, 360, 640)).max(axis=3) > 90

    assert changed[8, 320:500].sum() > 500


def _yellow(picture: Frames) -> float:
    """Where the highlighted word is, in columns."""
    red, green, blue = (picture[320:500, :, channel].astype(int) for channel in range(3))
    return float(np.flatnonzero(((red > 230) & (abs(green - 221) < 25) & (abs(blue - 43) < 45)).sum(axis=0) > 2).mean())


def test_captions_need_no_system_font(
    server: FileServer, artifacts: ArtifactStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = plan_of(shot(server, "small.mp4"))
    _, usual = make(plan, server, artifacts, folder, captions=True)
    monkeypatch.setenv("FONTCONFIG_FILE", "/nonexistent")
    # Another footage id, so that the clip is made again.
    again = replace(plan.segments[0].footage, id="test:again")
    _, alone = make(plan_of(again), server, artifacts, folder, captions=True)
    assert np.array_equal(frames(usual, 360, 640), frames(alone, 360, 640))


def test_a_draft_has_the_settings_of_the_earlier_server_and_the_other_looks_are_better(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """A dusk sky, in which a coarse encoder shows blocks of 16 pixels."""
    sky = "gradients=c0=0x0c1230:c1=0x5a3a60:x0=0:y0=0:x1=200:y1=1280:speed=0.004:seed=1"
    server.files["sky.mp4"] = draw(tmp_path / "sky.mp4", *NOISY, source=sky, seconds=1.4).read_bytes()
    plan = plan_of(shot(server, "sky.mp4", 1.4), length=30)
    looks: tuple[Quality, ...] = ("draft", "standard", "high")
    clips = {look: make(plan, server, artifacts, folder, quality=look)[1] for look in looks}

    settings = {look: probe_settings(path) for look, path in clips.items()}
    steps = {look: block_steps(frames(path)) for look, path in clips.items()}

    assert settings["draft"] == {"crf": "28.0", "subme": "0", "cabac": "0"}, "x264's ultrafast"
    assert max(steps["standard"], steps["high"]) < 0.75 * steps["draft"]


def probe_settings(path: Path) -> dict[str, str]:
    """Some of what x264 writes of its settings into its pictures."""
    return dict(re.findall(r"\b(crf|subme|cabac)=([\d.]+)", path.read_bytes().decode("latin-1")))


def block_steps(pictures: Frames) -> float:
    """How much larger the steps between blocks of 16 pixels are than those within them, in levels of green."""
    steps = np.abs(np.diff(pictures[:, :, :, 1].astype(np.int16), axis=1))
    edges = np.arange(1, pictures.shape[1]) % 16 == 0
    return float(steps[:, edges].mean() - steps[:, ~edges].mean())


def test_a_clip_that_exists_is_not_made_again(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    plan = plan_of(shot(server, "small.mp4"))
    first, _ = make(plan, server, artifacts, folder)
    second, _ = make(plan, server, artifacts, folder)
    assert first == second
    assert len(server.requests) == 1
    make(plan, server, artifacts, folder, captions=True)
    make(plan, server, artifacts, folder, quality="standard")
    make(plan, server, artifacts, folder, badge=True)
    assert len(server.requests) == 4


def test_every_hostile_or_broken_footage_gives_way_to_a_spare(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    good = server.files["small.mp4"]
    draw(tmp_path / "jpeg.mp4", "-c:v", "mjpeg", size="180x320", seconds=0.5)
    # The index says 180x320; the pictures are larger than is allowed.
    large = draw(tmp_path / "large.mp4", size="1280x1280", seconds=0.2).read_bytes()
    lying = re.sub(rb"(avc1.{24})\x05\0\x05\0", lambda m: m[1] + bytes([0, 180, 1, 64]), large, flags=re.DOTALL)
    assert lying != large
    server.files |= {
        "concat.mp4": b"ffconcat version 1.0\nfile small.mp4\n",
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nsmall.mp4\n#EXT-X-ENDLIST\n",
        "page.mp4": b"<html>Too many requests</html>" * 100,
        "cut.mp4": good[: len(good) // 2],
        "jpeg.mp4": (tmp_path / "jpeg.mp4").read_bytes(),
        "huge.mp4": large,
        "lying.mp4": lying,
        "empty.mp4": b"",
        "moved.mp4": good,
    }
    bad = [
        shot(server, name)
        for name in server.files
        if name not in ("small.mp4", "sea.mp4", "late.mp4", "fragmented.mp4")
    ]
    bad += [shot(server, "not-there.mp4")]
    private = Footage("test:private", 8, "", "", "", (Rendition("http://169.254.169.254/a.mp4", 720, 1280),))
    bad += [private, replace(private, id="test:local", renditions=(Rendition("file:///etc/passwd", 720, 1280),))]
    result, path = make(plan_of(*bad, shot(server, "small.mp4")), server, artifacts, folder, most_pixels=1_000_000)
    assert result.footage.id == "test:small.mp4"
    assert count(path) == 20
    for footage in bad:
        with pytest.raises(NoFootage):
            make(plan_of(footage), server, artifacts, folder, most_pixels=1_000_000)


def test_a_file_that_its_host_refuses_is_named_and_not_the_key(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    server.behaviour = "forbidden"
    with pytest.raises(NoFootage, match=r"file of test:small\.mp4: \S+ refuses the file \(status 403\)") as raised:
        make(plan_of(shot(server, "small.mp4")), server, artifacts, folder)
    assert "API_KEY" not in str(raised.value)


def test_too_many_bytes_give_way_too(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    plan = plan_of(shot(server, "sea.mp4"), shot(server, "small.mp4"))
    result, _ = make(plan, server, artifacts, folder, most_bytes=300_000)
    assert result.footage.id == "test:small.mp4"
    for behaviour in ("ranges", "whole", "endless", "liar"):
        server.behaviour = behaviour
        kind: type[ColdswapError] = UpstreamFailed if behaviour == "liar" else MediaTooLarge
        limit = 1 << 26 if behaviour == "liar" else 300_000
        name = "fragmented.mp4"
        with pytest.raises(kind):
            download(
                server.url(name),
                folder / "fetched",
                1.0,
                limit=limit,
                deadline=soon(),
                trusted_origins=frozenset({server.origin}),
            )


def test_two_segments_never_try_the_same_spare() -> None:
    footage = [Footage(f"test:{number}", 9, "", "", "", ()) for number in range(11)]
    plan = Plan(30, tuple(Segment(i, 10 * i, 10, footage[i]) for i in range(3)), tuple(footage[3:]))
    tried = [[each.id for each in clip.candidates(segment, plan)] for segment in plan.segments]
    assert tried[0] == ["test:0", "test:3", "test:6", "test:9"]
    assert len({name for names in tried for name in names}) == sum(len(names) for names in tried) == 11


def test_where_no_spare_is_left_the_neighbours_footage_is_better_than_no_video() -> None:
    footage = [Footage(f"test:{number}", 9, "", "", "", ()) for number in range(9)]
    plan = Plan(90, tuple(Segment(i, 10 * i, 10, each) for i, each in enumerate(footage)), ())
    assert [each.id for each in clip.candidates(plan.segments[4], plan)] == ["test:4", "test:3", "test:5", "test:2"]
    assert [each.id for each in clip.candidates(plan.segments[0], plan)] == ["test:0", "test:1", "test:2", "test:3"]


def test_the_end_of_time_is_no_reason_to_try_a_spare(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    plan = plan_of(shot(server, "sea.mp4"), shot(server, "small.mp4"))
    with pytest.raises(OutOfTime):
        make(plan, server, artifacts, folder, deadline=Deadline.after(-1))
    assert server.requests == []
    assert list(folder.iterdir()) == []


def test_footage_that_ends_in_rubbish_is_unreadable(server: FileServer, tmp_path: Path) -> None:
    path = draw(tmp_path / "few.mp4", size="90x160", rate=30, seconds=0.5)
    with pytest.raises(UnreadableMedia, match="15 frames where 20"):
        check_frames(path, 20)
    check_frames(path, 15)
