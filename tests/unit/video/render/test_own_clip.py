"""Callers' own videos and pictures as clips: what they become, and what is refused."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from coldswap.folder_storage import FolderStorage
from functions.video.artifacts import ArtifactStore
from functions.video.context import StepContext
from functions.video.render import clip
from functions.video.render.subjects import list_subjects
from functions.video.values import Clip, Plan, Scene, Segment, VideoRequest
from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, InputNotFound, MediaTooLarge, RefusedUrl, UnreadableMedia, UpstreamFailed
from layers.media.ffmpeg import run
from tests.support.step_context import step_context
from tests.unit.video.drawn_footage import FileServer, Frames, count, draw, frames, serving
from tests.unit.video.fixtures import SETTINGS, artifacts, folder, soon, storage
from tests.unit.video.scripts import voice_over

__all__ = ["artifacts", "folder", "storage"]

FRAMES = 20
VOICE = voice_over()


def still(path: Path, source: str = "testsrc2=s=900x700") -> bytes:
    run(["-f", "lavfi", "-i", source, "-frames:v", "1", str(path)], deadline=Deadline.after(60))
    return path.read_bytes()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    root = tmp_path_factory.mktemp("own")
    result = {f"still.{kind}": still(root / f"still.{kind}") for kind in ("jpg", "png", "webp")}
    result["short.mp4"] = draw(root / "short.mp4", size="180x320", seconds=0.4).read_bytes()
    return result


@pytest.fixture
def server(files: dict[str, bytes]) -> Iterator[FileServer]:
    with serving() as server:
        server.files = dict(files)
        yield server


def context_of(
    server: FileServer, artifacts: ArtifactStore, folder: Path, most_pixels: int = 50_000_000, most_bytes: int = 1 << 26
) -> StepContext:
    context = step_context(
        FolderStorage(folder.parent / "buckets"),
        artifacts,
        folder,
        settings=replace(
            SETTINGS,
            trusted_origins=frozenset({server.origin}),
            threads=1,
            uploads_bucket="uploads",
            max_picture_pixels=most_pixels,
            max_clip_bytes=most_bytes,
        ),
        request=VideoRequest("", "", captions=False, quality="draft"),
        deadline=soon(),
    )
    return replace(context, task=replace(context.task, caller="me"))


def make(uri: str, context: StepContext, index: int = 0) -> Frames:
    """The pictures of a clip of that file."""
    (subject,) = list_subjects(VideoRequest("Hi.", scenes=(Scene("Hi.", clip=uri),)))
    assert subject.own is not None
    segments = tuple(Segment(number, number * FRAMES, FRAMES, subject.own) for number in range(index + 1))
    key = clip.make(segments[index], Plan(FRAMES * (index + 1), segments, (), 360, 640), VOICE, context)
    result = context.artifacts.get(key, Clip, soon())
    path = context.folder.parent / "result.mp4"
    context.artifacts.get_file(result.key, path, 100_000_000, soon())
    assert count(path) == FRAMES
    return frames(path, 90, 160)


def difference(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(np.int16) - other).mean())


@pytest.mark.parametrize("name", ["still.jpg", "still.png", "still.webp"])
def test_a_picture_moves_slowly(name: str, server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    pictures = make(server.url(name), context_of(server, artifacts, folder))

    steps = [difference(one, other) for one, other in pairwise(pictures)]
    assert difference(pictures[0], pictures[-1]) > 4 * max(steps)
    assert min(steps[2:]) > 0, "it never stands still"


def test_every_other_picture_goes_away_instead_of_coming_nearer(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    context = context_of(server, artifacts, folder)
    nearer, away = (make(server.url("still.png"), context, index) for index in (0, 1))

    assert difference(nearer[0], away[-1]) < difference(nearer[0], nearer[-1]) / 2
    assert difference(nearer[-1], away[0]) < difference(nearer[0], nearer[-1]) / 2


def test_a_picture_fills_the_frame_and_is_not_squeezed(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """Of a picture a little too wide, whose left and right edges are blue, only the red middle is seen."""
    bars = tmp_path / "bars.png"
    boxes = "drawbox=x=0:w=24:c=blue:t=fill,drawbox=x=596:w=24:c=blue:t=fill"
    source = ["-f", "lavfi", "-i", f"color=red:s=620x1000,{boxes}"]
    run([*source, "-frames:v", "1", str(bars)], deadline=Deadline.after(60))
    server.files["bars.png"] = bars.read_bytes()

    pictures = make(server.url("bars.png"), context_of(server, artifacts, folder))

    assert (pictures[..., 0] > 200).all()
    assert (pictures[..., 2] < 60).all()


def test_what_stands_out_in_a_picture_is_not_cut_off(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """A white disc in the left third of a wide picture is whole."""
    wide = tmp_path / "wide.png"
    disc = "geq=lum='if(lt(hypot(X-150,Y-250),100),235,60)':cb=128:cr=128"
    run(["-f", "lavfi", "-i", f"color=gray:s=900x500,{disc}", "-frames:v", "1", str(wide)], deadline=soon())
    server.files["wide.png"] = wide.read_bytes()

    bright = make(server.url("wide.png"), context_of(server, artifacts, folder))[0].min(axis=-1) > 180

    assert bright.any(axis=0)[[0, -1]].sum() == 0, "its sides are seen"
    assert bright.sum() / bright.size == pytest.approx(31416 / (500 * 500 * 9 / 16), rel=0.1)


def test_a_telephones_picture_stands_upright(
    server: FileServer, artifacts: ArtifactStore, folder: Path, tmp_path: Path
) -> None:
    """Stored on its side: its left half, which is white, is the upper one (Exif orientation 6)."""
    side = tmp_path / "side.jpg"
    source = ["-f", "lavfi", "-i", "color=black:s=1280x720,drawbox=x=0:w=640:c=white:t=fill"]
    run([*source, "-frames:v", "1", str(side)], deadline=Deadline.after(60))
    entry = struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + b"\0\0\0\0"
    data = side.read_bytes()
    server.files["side.jpg"] = data[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + data[2:]

    pictures = make(server.url("side.jpg"), context_of(server, artifacts, folder))

    assert pictures[:, :60].mean() > 240
    assert pictures[:, 100:].mean() < 15


def test_a_short_video_begins_anew(server: FileServer, artifacts: ArtifactStore, folder: Path) -> None:
    pictures = make(server.url("short.mp4"), context_of(server, artifacts, folder))

    assert difference(pictures[0], pictures[12]) < 3


def test_an_upload_of_the_callers_is_read_from_its_place(
    server: FileServer, artifacts: ArtifactStore, folder: Path
) -> None:
    context = context_of(server, artifacts, folder)
    context.services.storage.write("uploads", "requests/me/1", server.files["still.jpg"], "image/jpeg")

    assert make("s3://uploads/requests/me/1", context).shape[0] == FRAMES


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("s3://uploads/requests/me/none", InputNotFound),
        ("s3://uploads/requests/other/1", RefusedUrl),
        ("https://127.0.0.1/a.mp4", RefusedUrl),
        ("missing.mp4", InputNotFound),
        ("text.mp4", UnreadableMedia),
        ("cut.png", UnreadableMedia),
        ("playlist.mp4", UnreadableMedia),
        ("large.png", MediaTooLarge),
        ("long.mp4", MediaTooLarge),
    ],
)
def test_a_clip_that_cannot_be_shown_fails_with_its_own_error(
    uri: str,
    error: type[ColdswapError],
    server: FileServer,
    artifacts: ArtifactStore,
    folder: Path,
    tmp_path: Path,
) -> None:
    """Nobody's own clip is replaced by anything."""
    server.files |= {
        "text.mp4": b"Hello. " * 50,
        "cut.png": server.files["still.png"][:5000],
        "playlist.mp4": b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n",
        "large.png": still(tmp_path / "large.png", "color=red:s=1001x1000"),
        "long.mp4": bytes(400_001),
    }
    context = context_of(server, artifacts, folder, most_pixels=1_000_000, most_bytes=400_000)

    with pytest.raises(error) as raised:
        make(uri if ":" in uri else server.url(uri), context)
    assert "requests/" not in raised.value.detail
    assert not isinstance(raised.value, UpstreamFailed)
