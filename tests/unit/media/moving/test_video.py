"""Videos frame by frame, at their own times and upright, and as they are written; ffmpeg's reports are the judge."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest

from layers.core.deadline import Deadline
from layers.core.errors import OutOfTime, PictureTooLarge, UnreadablePicture, UnsupportedPicture
from layers.media.ffmpeg import program, run
from layers.media.moving.description import Frame, Limits, OutputFormat
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import create_writer
from tests.unit.media.moving.drawn_gifs import DrawnGif, fill

LIMITS = Limits()
FAST = {
    "libx264": ("-preset", "ultrafast", "-crf", "12"),
    "libx265": ("-preset", "ultrafast", "-crf", "12", "-x265-params", "log-level=none"),
    "libvpx-vp9": ("-deadline", "realtime", "-cpu-used", "8", "-crf", "15", "-b:v", "0"),
    "libsvtav1": ("-preset", "12", "-crf", "20"),
}
# Thirty frames a second for two seconds, and then ten for two.
UNEVEN = (
    *("-f", "lavfi", "-i", "testsrc2=s=64x48:r=30:d=2", "-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=2"),
    *("-filter_complex", "[0:v]settb=1/15360[a];[1:v]settb=1/15360[b];[a][b]concat[v]", "-map", "[v]"),
    *("-fps_mode", "passthrough", "-video_track_timescale", "15360"),
)
EVEN = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1")
QUARTERS = "color=red:s=64x48:r=10:d=0.5,drawbox=0:0:32:24:blue:fill"  # blue at the top left
WITH_SOUND = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "sine=d=1")


@cache
def encode(name: str, source: Sequence[str], *options: str, codec: str = "libx264") -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / name
        run([*source, "-c:v", codec, *FAST.get(codec, ()), *options, str(path)], deadline=Deadline.after(60))
        return path.read_bytes()


def again(data: bytes, name: str, before: Sequence[str], *after: str) -> bytes:
    """The video put into another file without encoding it again."""
    with TemporaryDirectory() as folder:
        first, second = Path(folder) / "first.mp4", Path(folder) / name
        first.write_bytes(data)
        run([*before, "-i", str(first), "-c", "copy", *after, str(second)], deadline=Deadline.after(60))
        return second.read_bytes()


def read(path: Path, data: bytes | None = None, limits: Limits = LIMITS) -> tuple[MovingReader, list[Frame]]:
    if data is not None:
        path.write_bytes(data)
    reader = MovingReader(path, limits)
    return reader, list(reader.frames(Deadline.after(60)))


def rewrite(path: Path, data: bytes, format: OutputFormat = "mp4") -> tuple[Path, list[str]]:
    reader, frames = read(path, data)
    target = path.with_name(f"again.{format}")
    with create_writer(reader, target, format, deadline=Deadline.after(60)) as writer:
        for frame in frames:
            writer.write(frame, frame.pixels)
        writer.close()
    assert [each.name for each in path.parent.iterdir() if "pictures" in each.name] == []
    return target, list(writer.notes)


def list_frames(path: Path, *options: str) -> str:
    """ffmpeg's own list of a file's packets or frames."""
    command = [program(), "-loglevel", "error", "-i", str(path), *options, "-f", "framemd5", "-"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def packets(path: Path, stream: str) -> list[tuple[Fraction, str]]:
    """Times and digests of a stream's packets, as ffmpeg reads them."""
    report = list_frames(path, "-map", f"0:{stream}", "-c", "copy")
    base = re.search(r"#tb 0: (\S+)", report)
    assert base is not None
    rows = [line.split(",") for line in report.splitlines() if not line.startswith("#")]
    return [(int(row[2]) * Fraction(base[1]), row[5].strip()) for row in rows]


def tell(path: Path) -> str:
    """What ffmpeg says of a file."""
    return subprocess.run(
        [program(), "-hide_banner", "-i", str(path)], capture_output=True, text=True, check=False
    ).stderr


@pytest.mark.parametrize(
    ("name", "codec", "own"),
    [
        ("a.mp4", "libx264", "avc1"),
        ("a.mp4", "libx265", "hev1"),
        ("a.mp4", "libvpx-vp9", "vp09"),
        ("a.mp4", "libsvtav1", "av01"),
        ("a.mov", "libx264", "avc1"),
        ("a.webm", "libvpx-vp9", "V_VP9"),
        ("a.webm", "libsvtav1", "V_AV1"),
    ],
)
def test_every_codec_is_read(name: str, codec: str, own: str, tmp_path: Path) -> None:
    reader, frames = read(tmp_path / "a", encode(name, EVEN, codec=codec))

    picture = reader.picture
    assert (picture.kind, picture.codec) == (name.removeprefix("a."), own)
    assert (picture.width, picture.height, picture.frames, len(frames)) == (64, 48, 25, 25)
    assert [frame.start for frame in frames] == [Fraction(number, 25) for number in range(25)]
    assert float(picture.seconds) == pytest.approx(1, abs=0.002)
    drawn = subprocess.run(
        [program(), "-loglevel", "error", *EVEN, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "bgr24", "-"],
        capture_output=True,
        check=True,
    ).stdout
    assert np.abs(frames[0].pixels.astype(int).ravel() - np.frombuffer(drawn, np.uint8)).mean() < 8


def test_a_varying_rate_keeps_its_frames_and_its_times(tmp_path: Path) -> None:
    expected = [Fraction(number, 30) for number in range(60)] + [2 + Fraction(number, 10) for number in range(20)]

    _, frames = read(tmp_path / "a", encode("a.mp4", UNEVEN))
    target, notes = rewrite(tmp_path / "a", encode("a.mp4", UNEVEN))

    assert [frame.start for frame in frames] == expected
    assert [at for at, _ in packets(target, "v")] == expected
    again_frames = read(target)[1]
    assert [(frame.start, frame.delay) for frame in again_frames] == [(frame.start, frame.delay) for frame in frames]
    assert MovingReader(target, LIMITS).picture.seconds == 4
    assert notes == []


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_a_clip_on_its_side_stands_upright(rotation: int, tmp_path: Path) -> None:
    data = again(encode("a.mp4", ("-f", "lavfi", "-i", QUARTERS)), "b.mov", ("-display_rotation", str(-rotation)))

    reader, frames = read(tmp_path / "a", data)
    target, notes = rewrite(tmp_path / "a", data)

    turned = (48, 64) if rotation != 180 else (64, 48)
    assert (reader.picture.width, reader.picture.height, reader.picture.rotation) == (*turned, rotation)
    for pixels in (frames[0].pixels, read(target)[1][0].pixels):
        height, width = pixels.shape[:2]
        corners = {90: (4, width - 4), 180: (height - 4, width - 4), 270: (height - 4, 4)}
        for turn, place in corners.items():
            blue, _, red = (int(level) for level in pixels[place])
            assert (blue > red) == (turn == rotation)
    assert MovingReader(target, LIMITS).picture.rotation == 0
    assert notes == ["converted"]


def test_the_sound_is_copied_to_the_last_packet(tmp_path: Path) -> None:
    data = encode("a.mp4", WITH_SOUND, "-c:a", "aac")
    target, notes = rewrite(tmp_path / "a", data)
    assert packets(target, "a") == packets(tmp_path / "a", "a")
    assert notes == []


@pytest.mark.parametrize(
    ("name", "sound", "encoded"),
    [
        ("a.mov", "pcm_s16le", True),
        ("a.mov", "aac", False),
        ("a.webm", "libopus", False),
        ("a.webm", "libvorbis", True),
    ],
)
def test_sound_that_an_mp4_cannot_hold_becomes_aac(name: str, sound: str, encoded: bool, tmp_path: Path) -> None:
    codec = "libvpx-vp9" if name == "a.webm" else "libx264"
    data = encode(name, WITH_SOUND, "-c:a", sound, codec=codec)

    target, notes = rewrite(tmp_path / "a", data)

    assert ("sound_encoded" in notes) is encoded
    assert "converted" in notes
    assert ("Audio: aac" in tell(target)) is (encoded or sound == "aac")
    assert abs(len(packets(target, "a")) - len(packets(tmp_path / "a", "a"))) <= 2 or encoded


def test_a_video_without_sound_stays_silent(tmp_path: Path) -> None:
    target, _ = rewrite(tmp_path / "a", encode("a.mp4", EVEN))
    assert "Audio" not in tell(target)
    assert MovingReader(target, LIMITS).picture.sound is None


def test_sound_that_begins_first_stays_in_time(tmp_path: Path) -> None:
    late = ("-itsoffset", "0.4", *WITH_SOUND)
    target, _ = rewrite(tmp_path / "a", encode("a.mp4", late, "-c:a", "aac"))
    assert [at for at, _ in packets(target, "v")][:2] == [Fraction(2, 5), Fraction(11, 25)]


def test_a_side_of_odd_length_loses_its_last_pixels(tmp_path: Path) -> None:
    data = encode("a.mp4", ("-f", "lavfi", "-i", "testsrc=s=65x49:r=10:d=0.5"), codec="libvpx-vp9")

    reader, frames = read(tmp_path / "a", data)
    target, notes = rewrite(tmp_path / "a", data)

    assert frames[0].pixels.shape == (49, 65, 3)
    assert MovingReader(target, LIMITS).picture.width == 64
    assert read(target)[1][0].pixels.shape == (48, 64, 3)
    assert notes == ["cropped"]
    assert reader.picture.codec == "vp09"


def test_what_an_edit_list_hides_is_not_shown(tmp_path: Path) -> None:
    data = again(encode("a.mp4", EVEN, "-g", "5"), "b.mp4", ("-ss", "0.5"))
    (tmp_path / "b").write_bytes(data)
    report = list_frames(tmp_path / "b", "-fps_mode", "passthrough")
    shown = sum(not line.startswith("#") for line in report.splitlines())

    reader, frames = read(tmp_path / "a", data)

    assert len(frames) == shown < 25
    assert frames[0].start == 0
    target, _ = rewrite(tmp_path / "a", data)
    assert len(read(target)[1]) == shown
    assert reader.notes == []


def test_a_fragmented_file_is_read_within_limits(tmp_path: Path) -> None:
    data = encode("a.mp4", EVEN, "-movflags", "frag_keyframe+empty_moov")
    reader, frames = read(tmp_path / "a", data)
    assert not reader.picture.frame_count_is_exact
    assert len(frames) == 25
    with pytest.raises(PictureTooLarge, match="more than 20 frames"):
        read(tmp_path / "a", limits=replace(LIMITS, frames=20))
    with pytest.raises(PictureTooLarge, match=r"lasts 0\.6 seconds"):
        read(tmp_path / "a", limits=replace(LIMITS, seconds=0.55))


@pytest.mark.parametrize("transfer", ["smpte2084", "arib-std-b67"])
def test_a_high_dynamic_range_is_toned_down(transfer: str, tmp_path: Path) -> None:
    """Of light that grows evenly the middle is dull as it is coded, and not once it is toned down."""
    hdr = f"colorprim=bt2020:transfer={transfer}:colormatrix=bt2020nc:log-level=none"
    tags = f"setparams=color_trc={transfer}:color_primaries=bt2020:colorspace=bt2020nc"
    source = ("-f", "lavfi", "-i", f"color=0x808080:s=64x48:r=10:d=0.3,format=yuv420p10le,{tags}")
    data = encode("a.mp4", source, "-x265-params", hdr, "-tag:v", "hvc1", codec="libx265")

    reader, frames = read(tmp_path / "a", data)
    target, notes = rewrite(tmp_path / "a", data)

    assert reader.picture.transfer == transfer
    assert reader.notes == ["tone_mapped"]
    assert notes == []
    shown = frames[0].pixels.mean()
    assert abs(shown - 128) > 5
    assert abs(read(target)[1][0].pixels.mean() - shown) < 2
    assert re.search(r"yuv420p\(tv, bt709", tell(target))
    assert np.ptp(frames[0].pixels.mean(axis=(0, 1))) < 10, "grey stays grey"


@pytest.mark.parametrize(("size", "matrix"), [("64x48", "bt601"), ("1280x720", "bt709"), ("64x48", "marked")])
def test_colours_are_those_that_players_show(size: str, matrix: str, tmp_path: Path) -> None:
    """Unmarked ones are BT.601 below 720 lines, and BT.709 from there on."""
    marked = matrix == "marked"
    space = "bt709" if marked else matrix
    source = ("-f", "lavfi", "-i", f"color=0xC08040:s={size}:r=5:d=0.4,format=rgb24")
    convert = (
        "-vf",
        f"scale=out_color_matrix={space},format=yuv420p" + ("" if marked else ",setparams=colorspace=unknown"),
    )
    tags = ("-colorspace", "bt709") if marked else ()
    data = encode("a.mp4", source, *convert, *tags)

    target, _ = rewrite(tmp_path / "a", data)

    for path in (tmp_path / "a", target):
        assert np.abs(read(path)[1][0].pixels.mean(axis=(0, 1)) - [0x40, 0x80, 0xC0]).max() < 4


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    data = encode("a.mp4", ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=10:d=0.3,setsar=4/3"))
    target, _ = rewrite(tmp_path / "a", data)
    assert "SAR 4:3" in tell(target)


def test_a_gif_becomes_a_video_at_its_own_times(tmp_path: Path) -> None:
    images = [fill(str(number % 4), 9, 7, delay=delay) for number, delay in enumerate([3, 0, 50, 7])]
    data = DrawnGif(tuple(images), 9, 7).write()

    target, notes = rewrite(tmp_path / "a", data)

    assert [at for at, _ in packets(target, "v")] == [0, Fraction(3, 100), Fraction(13, 100), Fraction(63, 100)]
    assert MovingReader(target, LIMITS).picture.seconds == Fraction(70, 100)
    assert notes == ["converted", "loop_dropped", "cropped"]
    for frame, color in zip(read(target)[1], [(0, 0, 255), (0, 255, 0), (255, 0, 0), (255, 255, 255)], strict=True):
        assert np.abs(frame.pixels.mean(axis=(0, 1)) - color).max() < 6


@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (4, 5)])
def test_a_gif_becomes_a_webp(loop: int | None, plays: int, tmp_path: Path) -> None:
    images = [fill(str(number), 9, 7, delay=delay, x=2 * number) for number, delay in enumerate([3, 0, 50])]
    data = DrawnGif(tuple(images), 16, 8, loop=loop).write()

    target, notes = rewrite(tmp_path / "a", data, "webp")

    reader, frames = read(target)
    assert [raw for raw, _ in reader.picture.raw_delays] == [30, 100, 500]
    assert reader.picture.plays == plays
    assert notes == ["converted"]
    for before, after in zip(read(tmp_path / "a")[1], frames, strict=True):
        assert np.array_equal(before.pixels[:, :, 3], after.pixels[:, :, 3]), "what is transparent stays so"


def test_a_video_becomes_a_webp_without_drift(tmp_path: Path) -> None:
    target, notes = rewrite(tmp_path / "a", encode("a.mp4", UNEVEN), "webp")

    reader, frames = read(target)

    assert len(frames) == 80
    assert reader.picture.seconds == 4
    assert reader.picture.plays == 0
    assert notes == ["converted"]


def test_no_other_format_is_offered(tmp_path: Path) -> None:
    reader, _ = read(tmp_path / "a", encode("a.mp4", EVEN))
    with pytest.raises(UnsupportedPicture, match="cannot become gif"):
        create_writer(reader, tmp_path / "b", "gif", deadline=Deadline.after(60))


def test_another_codec_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedPicture, match="mp4v"):
        read(tmp_path / "a", encode("a.mp4", EVEN, codec="mpeg4"))


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"frames": 24}, "more than 24 frames"),
        ({"seconds": 0.9}, r"lasts 1\.0 seconds"),
        ({"pixels": 64 * 47}, "64 x 48 pixels"),
        ({"total_pixels": 25 * 64 * 48 - 1}, "in all its frames"),
        ({"bytes": 99}, "bytes"),
    ],
)
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")])
def test_limits_are_kept_before_anything_is_decoded(
    name: str, codec: str, limits: dict[str, Any], says: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(encode(name, EVEN, codec=codec))
    with pytest.raises(PictureTooLarge, match=says):
        MovingReader(tmp_path / "a", replace(LIMITS, **limits))


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9")])
def test_a_cut_video_keeps_its_whole_frames(name: str, codec: str, tmp_path: Path) -> None:
    flags = ("-movflags", "+faststart", "-bf", "0") if name == "a.mp4" else ()
    data = encode(name, EVEN, *flags, codec=codec)
    whole = read(tmp_path / "a", data)[1]

    reader, frames = read(tmp_path / "a", data[: len(data) * 2 // 3])

    assert 3 <= len(frames) < 25
    assert all(np.array_equal(one.pixels, other.pixels) for one, other in zip(frames, whole, strict=False))
    assert reader.notes in (["damaged_frame"], ["truncated"])


def test_a_picture_larger_than_the_file_says_is_not_decoded(tmp_path: Path) -> None:
    data = bytearray(encode("a.mp4", ("-f", "lavfi", "-i", "testsrc2=s=1280x720:r=5:d=0.4")))
    at = data.index(b"avc1", data.index(b"stsd")) + 28
    assert struct.unpack_from(">HH", data, at) == (1280, 720)
    struct.pack_into(">HH", data, at, 64, 48)
    with pytest.raises(UnreadablePicture):
        read(tmp_path / "a", bytes(data))


def test_the_end_of_time_ends_reading_and_writing(tmp_path: Path) -> None:
    reader, frames = read(tmp_path / "a", encode("a.mp4", EVEN))
    with pytest.raises(OutOfTime):
        list(reader.frames(Deadline.after(-1)))
    with pytest.raises(OutOfTime):
        create_writer(reader, tmp_path / "b", "mp4", deadline=Deadline.after(-1))
    assert len(frames) == 25


def test_a_reader_that_is_left_early_leaves_no_ffmpeg(tmp_path: Path) -> None:
    reader, _ = read(tmp_path / "a", encode("a.mp4", EVEN))
    frames = reader.frames(Deadline.after(60))
    next(frames)
    close = getattr(frames, "close", None)
    assert close is not None
    close()
    running = [each for each in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path / "a").encode() in _look(each)]
    assert running == []


def _look(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
