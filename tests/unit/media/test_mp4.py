"""The head of an MP4 against files that ffmpeg wrote, and against damage."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.core.deadline import Deadline
from layers.core.errors import UnreadableMedia
from layers.media.ffmpeg import run
from layers.media.mp4 import Index, read_index
from layers.media.xmp_label import SOURCE_TYPE, label_mp4, read_mp4_label


@cache
def encode_clip(
    *options: str, size: str = "96x160", rate: str = "25", name: str = "a.mp4", before: tuple[str, ...] = ()
) -> bytes:
    """Four seconds of picture and sound, as ffmpeg writes them."""
    with TemporaryDirectory() as place:
        path = Path(place) / "whole.mp4"
        source = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration=4"]
        sound = ["-f", "lavfi", "-i", "sine=duration=4"]
        codec = [] if "-c:v" in options else ["-c:v", "libx264", "-preset", "superfast", "-crf", "15"]
        run([*source, *sound, *codec, *options, str(path)], deadline=Deadline.after(600))
        if not before and name == "a.mp4":
            return path.read_bytes()
        again = Path(place) / name
        run([*before, "-i", str(path), "-c", "copy", str(again)], deadline=Deadline.after(600))
        return again.read_bytes()


def index(data: bytes) -> Index:
    return read_index(lambda at, count: data[at : at + count], len(data))


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-movflags", "+faststart"),
        ("-bf", "3"),
        ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none"),
    ],
)
def test_the_head_says_what_ffmpeg_wrote(options: tuple[str, ...]) -> None:
    video_index = index(encode_clip(*options))
    assert video_index.codec == ("hev1" if "libx265" in options else "avc1")
    assert (video_index.width, video_index.height, video_index.rotation) == (96, 160, 0)
    assert video_index.frames == 100
    assert video_index.seconds == pytest.approx(4.0)
    assert video_index.fps == pytest.approx(25.0)
    assert not video_index.fragmented


@pytest.mark.parametrize(("rate", "fps"), [("30000/1001", 29.97), ("60", 60.0), ("24", 24.0)])
def test_frame_rates(rate: str, fps: float) -> None:
    assert index(encode_clip(rate=rate)).fps == pytest.approx(fps, abs=0.001)


def test_a_turned_picture_has_the_size_that_is_shown() -> None:
    video_index = index(encode_clip(name="turned.mov", before=("-display_rotation", "90")))
    assert (video_index.width, video_index.height, video_index.rotation) == (160, 96, 270)


@pytest.mark.parametrize("options", [(), ("-movflags", "+faststart"), ("-bf", "3")])
def test_the_window_holds_all_that_its_pictures_need(options: tuple[str, ...], tmp_path: Path) -> None:
    data = encode_clip(*options)
    window = index(data).window(1.0)
    assert window is not None
    first, after = window
    assert after - first < 0.55 * len(data)
    # All else as zeros, but for the index.
    at = data.index(b"moov") - 4
    end = at + int.from_bytes(data[at : at + 4], "big")
    window_only = bytearray(len(data))
    window_only[: data.index(b"mdat") + 4] = data[: data.index(b"mdat") + 4]
    window_only[at:end], window_only[first:after] = data[at:end], data[first:after]
    hashes = []
    for name, some in (("all.mp4", data), ("some.mp4", bytes(window_only))):
        (tmp_path / name).write_bytes(some)
        out = tmp_path / f"{name}.txt"
        only = ["-an", "-frames:v", "25", "-f", "framemd5"]
        run(["-t", "1.1", "-i", str(tmp_path / name), *only, str(out)], deadline=Deadline.after(600))
        hashes.append(out.read_text())
    assert hashes[0] == hashes[1]
    assert len(hashes[0].splitlines()) > 25


def test_there_is_no_window_where_it_would_be_everything() -> None:
    assert index(encode_clip()).window(3.8) is None


def test_a_fragmented_file_tells_its_size_but_no_window() -> None:
    video_index = index(encode_clip("-movflags", "frag_keyframe+empty_moov"))
    assert video_index.fragmented
    assert (video_index.width, video_index.height) == (96, 160)
    assert video_index.window(1.0) is None


@pytest.mark.parametrize("data", [b"", b"\0", b"GIF89a" * 50, b"#EXTM3U\n" * 20, b"\0\0\0\x08ftyp" * 5000])
def test_what_is_no_mp4_is_unreadable(data: bytes) -> None:
    with pytest.raises(UnreadableMedia):
        index(data)


def test_a_file_cut_anywhere_is_told(tmp_path: Path) -> None:
    data = encode_clip("-movflags", "+faststart")
    end = data.index(b"mdat") - 4
    for cut in range(0, end - 1, 41):
        with pytest.raises(UnreadableMedia):
            index(data[:cut])


@given(st.data())
def test_damage_is_told_or_gives_an_index_in_bounded_time(data: st.DataObject) -> None:
    damaged = bytearray(encode_clip("-movflags", "+faststart"))
    end = damaged.index(b"mdat")
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, end))
        patch = data.draw(st.sampled_from([b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f", b"\0\0\0\1", b"\x80\0\0\0"]))
        damaged[at : at + len(patch)] = patch
    try:
        video_index = index(bytes(damaged))
    except UnreadableMedia:
        return
    window = video_index.window(1.0)
    assert window is None or window[0] <= window[1]


def test_the_label_is_at_the_end_and_moves_nothing(tmp_path: Path) -> None:
    data = encode_clip("-movflags", "+faststart")
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    assert read_mp4_label(path) is None
    label_mp4(path)
    assert path.read_bytes().startswith(data)
    assert read_mp4_label(path) == SOURCE_TYPE
    # ffmpeg reads the very packet.
    run(
        ["-export_xmp", "1", "-i", str(path), "-f", "ffmetadata", str(tmp_path / "xmp.txt")],
        deadline=Deadline.after(600),
    )
    assert SOURCE_TYPE in (tmp_path / "xmp.txt").read_text().replace("\\", "")


@pytest.mark.parametrize("data", [b"", b"GIF89a and more than that", b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat"])
def test_what_is_no_whole_mp4_is_not_labelled(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="not an MP4"):
        label_mp4(path)
    assert path.read_bytes() == data
