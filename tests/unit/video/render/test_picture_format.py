"""Colours, fields and edit lists of footage, from the file to the clip, as ffmpeg reads both."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from functions.video.render import clip, poster
from functions.video.render.picture_format import PictureFormat, parse_report, read_format
from functions.video.values import Footage, Plan, Segment
from layers.core.deadline import Deadline
from layers.core.errors import UnreadableMedia
from layers.media.ffmpeg import run
from layers.media.mp4 import Index, read_index
from tests.unit.video.drawn_footage import Frames, draw, frames
from tests.unit.video.fixtures import soon

PATCHES = ((255, 0, 0), (0, 128, 0), (0, 0, 255), (255, 255, 0), (128, 128, 128), (224, 160, 128))
BAND = 64  # rows of a patch
WIDTH, HEIGHT = 192, BAND * len(PATCHES)
TAGS = "setparams=range={}:colorspace={}:color_primaries={}:color_trc={}"
H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "6")
LINEAR = (
    "format=gbrp,setparams=range=pc:colorspace=gbr:color_primaries=bt709:color_trc=bt709,zscale=t=linear:npl=203,"
    "format=gbrpf32le,zscale=p=bt2020"
)


def matrix(name: str, primaries: str, output_range: str = "tv") -> str:
    """The filters that store the chart by that matrix, and say so."""
    scale = f"scale=out_color_matrix={name}:out_range={output_range}"
    return f"{scale},format=yuv420p,{TAGS.format(output_range, primaries, primaries, primaries)}"


STORED = {
    "bt709": (matrix("bt709", "bt709"), *H264),
    "bt601": (matrix("bt601", "smpte170m"), *H264),
    "bt601 of 625 lines": (matrix("bt601", "bt470bg"), *H264),
    "bt601, full range": (matrix("bt601", "smpte170m", "pc"), *H264),
    "bt709, full range": (matrix("bt709", "bt709", "pc"), *H264),
    "rgb": ("format=rgb24", "-c:v", "libx264rgb", "-preset", "ultrafast", "-qp", "4"),
    "bt2020": (
        f"{LINEAR},zscale=t=bt709:m=2020_ncl:r=tv,format=yuv420p10le,"
        f"{TAGS.format('tv', 'bt2020nc', 'bt2020', 'bt709')}",
        *H264,
    ),
}


def chart(path: Path, filters: str, *encoder: str) -> Path:
    """The patches in bands, for half a second."""
    pixels = np.repeat(np.array(PATCHES, np.uint8), BAND, axis=0)[:, None].repeat(WIDTH, axis=1)
    raw = path.with_suffix(".rgb24")
    raw.write_bytes(pixels.tobytes() * 12)
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", "24", "-i", str(raw)]
    run([*source, "-vf", filters, *encoder, str(path)], deadline=soon())
    return path


def index_of(path: Path) -> Index:
    data = path.read_bytes()
    return read_index(lambda at, length: data[at : at + length], len(data))


def make_clip(path: Path, length: int = 6) -> Path:
    """A clip of that many frames of the footage, of its own size."""
    index = index_of(path)
    source = clip.EncoderInput(path, index.fps or 0.0, index.seconds, read_format(path, 9_000_000, soon()))
    segment = Segment(0, 0, length, Footage("test:1", index.seconds, "", "", "", ()))
    plan = Plan(length, (segment,), (), width=index.width, height=index.height)
    output = path.with_name("clip.mp4")
    run([*clip.arguments(source, segment, plan, None, "high"), str(output)], deadline=soon())
    return output


def read_patches(pictures: Frames) -> list[tuple[int, ...]]:
    """The patches' colours in the third picture; decoded by the matrix that its file states."""
    rows = pictures[2].reshape(len(PATCHES), BAND, WIDTH, 3)[:, 8:-8, 8:-8]
    return [tuple(round(float(each)) for each in patch.mean(axis=(0, 1))) for patch in rows]


def decode(path: Path) -> Frames:
    return frames(path, WIDTH, HEIGHT)


@pytest.mark.parametrize("stored", STORED)
def test_colours_come_out_as_they_were(stored: str, tmp_path: Path) -> None:
    source = chart(tmp_path / "chart.mp4", *STORED[stored])
    output = make_clip(source)

    tolerance = (
        12 if stored == "bt2020" else 8
    )  # the full colours of BT.709 are dull ones there, told apart less finely
    for patch, seen in zip(PATCHES, read_patches(decode(output)), strict=True):
        assert np.abs(np.subtract(patch, seen)).max() <= tolerance, (patch, seen)
    if stored == "bt709":  # which is not converted
        changes = np.subtract(read_patches(decode(source)), read_patches(decode(output)))
        assert np.abs(changes).max() <= 2


@pytest.mark.parametrize("transfer", ["arib-std-b67", "smpte2084"])
def test_high_dynamic_range_is_toned_down_and_not_washed_out(transfer: str, tmp_path: Path) -> None:
    filters = (
        f"{LINEAR},zscale=t={transfer}:m=2020_ncl:r=tv:npl=203,format=yuv420p10le,"
        f"{TAGS.format('tv', 'bt2020nc', 'bt2020', transfer)}"
    )
    path = chart(tmp_path / "chart.mp4", filters, *H264)
    assert read_format(path, 9_000_000, soon()).colour == {"arib-std-b67": "hlg", "smpte2084": "pq"}[transfer]

    red, _, _, yellow, grey, _ = read_patches(decode(make_clip(path)))

    assert red[0] - max(red[1:]) >= 140
    assert min(yellow[:2]) - yellow[2] >= 140
    assert max(abs(each - 128) for each in grey) <= 45


def test_a_poster_has_the_colours_of_its_video(tmp_path: Path) -> None:
    video = make_clip(chart(tmp_path / "chart.mp4", *STORED["bt709"]), 24)
    picture = tmp_path / "poster.jpg"
    run([*poster._arguments(video, Plan(24, (), ())), str(picture)], deadline=soon())

    # JPEG as every reader takes it: BT.601, full range.
    jpeg = frames(picture, WIDTH, HEIGHT)

    for patch, seen in zip(PATCHES, read_patches(np.repeat(jpeg, 3, axis=0)), strict=True):
        assert np.abs(np.subtract(patch, seen)).max() <= 8, (patch, seen)


def combs(picture: Frames) -> int:
    """Pixels that are unlike both of the pixels above and below, which are alike."""
    grey = picture.mean(axis=2)
    above, here, below = grey[:-2], grey[1:-1], grey[2:]
    return int(((abs(here - above) > 30) & (abs(here - below) > 30) & (abs(above - below) < 15)).sum())


@pytest.mark.parametrize("order", ["tff", "bff"])
def test_fields_become_whole_pictures(order: str, tmp_path: Path) -> None:
    """Two pictures of a moving pattern in one, line by line, as an interlacing camera has them."""
    fields = {"tff": "interleave_top", "bff": "interleave_bottom"}[order]
    filters = ["-vf", f"tinterlace=mode={fields}", "-flags", "+ildct+ilme", "-x264-params", f"{order}=1"]
    path = draw(tmp_path / "fields.mp4", *filters, "-preset", "veryfast", size="360x640", rate=50, seconds=1)
    assert read_format(path, 9_000_000, soon()) == PictureFormat("bt709", interlaced=True)

    before, after = (frames(each, 360, 640)[8] for each in (path, make_clip(path, 12)))

    assert combs(before) > 3 * combs(after)


def test_a_broadcast_of_1080_lines_shows_no_combs(tmp_path: Path) -> None:
    """Of 4:2:2, with everything moving sideways: rows 500 to 800 of a picture after one second."""
    motion = ["-vf", "scroll=horizontal=0.02,tinterlace=mode=interleave_top", "-flags", "+ildct+ilme"]
    encoder = ["-x264-params", "tff=1", "-pix_fmt", "yuv422p"]
    path = draw(tmp_path / "fields.mp4", *motion, *encoder, size="1920x1080", rate=50, seconds=1.2)
    pictures = read_format(path, 9_000_000, soon())
    segment = Segment(0, 0, 31, Footage("test:1", 1.2, "", "", "", ()))
    counts = {}
    for name, each in (("as it is", pictures), ("woven", PictureFormat())):
        output, source = tmp_path / f"{name}.mp4", clip.EncoderInput(path, 25.0, 1.2, each)
        run([*clip.arguments(source, segment, Plan(31, (segment,), ()), None, "draft"), str(output)], deadline=soon())
        counts[name] = combs(frames(output, 720, 1280)[30, 499:801])

    assert pictures == PictureFormat("bt709", interlaced=True)
    assert counts["woven"] > 3900
    assert counts["as it is"] < 1500


def test_footage_lasts_as_long_as_its_edit_list_shows(tmp_path: Path) -> None:
    whole = draw(tmp_path / "whole.mp4", "-g", "100", "-bf", "2", "-preset", "veryfast", size="90x160", seconds=3)
    # A copy of a part keeps the frames before it, and an edit list hides them.
    part = tmp_path / "part.mp4"
    run(["-ss", "1", "-t", "1", "-i", str(whole), "-map", "0:v", "-c", "copy", str(part)], deadline=soon())
    assert index_of(whole).seconds == pytest.approx(3, abs=0.05)

    assert index_of(part).seconds == pytest.approx(1, abs=0.1)
    pictures, originals = frames(make_clip(part, 75), 90, 160), frames(whole, 90, 160)
    assert len(pictures) == 75
    nearest = [int(np.abs(originals.astype(np.int16) - each).mean(axis=(1, 2, 3)).argmin()) for each in pictures]
    starts = [0, *(at for at, (before, after) in enumerate(pairwise(nearest), 1) if after < before)]
    assert starts == [pytest.approx(each, abs=2) for each in (0, 32, 65)], "it begins anew at its end"
    for number, seen in enumerate(nearest):
        since = number - max(at for at in starts if at <= number)
        assert seen == pytest.approx(25 + since * 25 / 30, abs=2)


def test_strong_grain_stays_within_its_level(tmp_path: Path) -> None:
    grain = ["-vf", "noise=alls=90:allf=t", "-crf", "12"]
    path = draw(tmp_path / "grain.mp4", *grain, source="color=gray", size="540x960", rate=30, seconds=1.1)

    output = make_clip(path, 30).read_bytes()

    assert output[output.index(b"avcC") + 7] == 31, "level 3.1"
    assert len(output) * 8 < 14_000_000 * 1.02


@pytest.mark.parametrize(
    ("video", "expected"),
    [
        ("h264 (High) (avc1 / 0x31637661), yuv420p, 720x1280, 30 fps", PictureFormat()),
        ("h264 (High) (avc1 / 0x31637661), yuv420p(progressive), 720x1280", PictureFormat()),
        ("h264 (High), yuv420p(tv, bt709, progressive), 720x1280 [SAR 1:1]", PictureFormat()),
        ("h264 (High 4:2:2), yuv422p(top coded first (swapped)), 1920x1080", PictureFormat("bt709", True)),
        (
            "h264, yuv420p(tv, bt470bg/unknown/unknown, bottom first), 720x576",
            PictureFormat("bt601", True),
        ),
        ("hevc (Main 10), yuv420p10le(tv, bt2020nc/bt2020/smpte2084, progressive), 720x1280", PictureFormat("pq")),
        ("vp9 (Profile 1), gbrp(pc, gbr/bt709/iec61966-2-1), 720x1280", PictureFormat("rgb")),
        ("vp9 (Profile 2), yuv420p10le(tv, bt2020nc/bt2020/bt709), 720x1280", PictureFormat("bt2020")),
    ],
)
def test_what_ffmpeg_reports_is_read(video: str, expected: PictureFormat) -> None:
    assert parse_report(f"  Stream #0:0[0x1](und): Video: {video}\n") == expected


def test_a_file_that_is_no_video_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "page.mp4").write_bytes(b"<html>" * 100)

    with pytest.raises(UnreadableMedia):
        read_format(tmp_path / "page.mp4", 9_000_000, Deadline.after(60))
