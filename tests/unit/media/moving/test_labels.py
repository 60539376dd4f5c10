"""Both labels in every format that is written: they are there, others can read them, and no frame changes."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from functions.swap.provenance import describe_swap
from layers.core.deadline import Deadline
from layers.media.c2pa_chain import derive_chain
from layers.media.c2pa_label import Signer, read_manifest
from layers.media.moving.description import Limits, OutputFormat
from layers.media.moving.labels import EXTENSIONS, MEDIA_TYPES, label_moving, read_moving_label
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import create_writer
from layers.media.xmp_label import SOURCE_TYPE
from tests.unit.media.moving.drawn_animations import SPRITE, WALL, write_apng, write_webp
from tests.unit.media.moving.drawn_gifs import TRAPS
from tests.unit.media.moving.test_video import EVEN, encode, list_frames

OURS = derive_chain("0123456789abcdefghijklmnopqrstuvwxyz")
SWAP = describe_swap(2, 3, "demo", {"detector": "d" * 64, "embedder": "e" * 64, "swapper": "5" * 64})
MEMES: dict[OutputFormat, Callable[[], bytes]] = {
    "gif": lambda: TRAPS["disposal 3 restores"].write(),
    "webp": lambda: write_webp((WALL, SPRITE, WALL), loop=3),
    "apng": lambda: write_apng((WALL, SPRITE, WALL), loop=3),
    "mp4": lambda: encode("a.mp4", EVEN),
}


@dataclass(frozen=True)
class Shown:
    """All that a viewer notices of a file."""

    frames: list[str]
    starts: list[Fraction]
    delays: list[Fraction]
    raw_delays: tuple[tuple[int, int], ...]
    loop: int | None


def look(path: Path) -> Shown:
    reader = MovingReader(path, Limits())
    frames = list(reader.frames(Deadline.after(60)))
    assert reader.notes == []
    return Shown(
        [frame.digest for frame in frames],
        [frame.start for frame in frames],
        [frame.delay for frame in frames],
        reader.picture.raw_delays,
        reader.picture.loop,
    )


def make_result(folder: Path, format: OutputFormat) -> Path:
    """A meme of that format, written again, not yet labelled."""
    meme, path = folder / "meme", folder / f"result.{EXTENSIONS[format]}"
    meme.write_bytes(MEMES[format]())
    reader = MovingReader(meme, Limits())
    with create_writer(reader, path, format, deadline=Deadline.after(60)) as writer:
        for frame in reader.frames(Deadline.after(60)):
            writer.write(frame, frame.pixels)
        writer.close()
    return path


@pytest.fixture(params=MEMES)
def result(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, OutputFormat]:
    """A result, and its format."""
    return make_result(tmp_path, request.param), request.param


def test_a_labelled_result_plays_the_same(result: tuple[Path, OutputFormat]) -> None:
    path, format = result
    before = look(path)
    assert read_moving_label(path, format) is None

    label_moving(path, format)

    assert look(path) == before
    assert read_moving_label(path, format) == SOURCE_TYPE


def test_a_signed_result_plays_the_same_and_is_ours(result: tuple[Path, OutputFormat]) -> None:
    path, format = result
    label_moving(path, format)
    before, size = look(path), path.stat().st_size

    Signer(lambda: OURS).sign_file(path, MEDIA_TYPES[format], SWAP)

    assert look(path) == before
    assert path.stat().st_size - size < 5000
    with path.open("rb") as file:
        summary = read_manifest(file, MEDIA_TYPES[format], OURS.anchors)
    assert summary.state == "trusted"
    assert [each["action"] for each in summary.actions] == ["c2pa.opened", "c2pa.edited"]
    assert read_moving_label(path, format) == SOURCE_TYPE


def test_a_change_after_signing_is_seen(result: tuple[Path, OutputFormat]) -> None:
    path, format = result
    label_moving(path, format)
    Signer(lambda: OURS).sign_file(path, MEDIA_TYPES[format], SWAP)
    data = bytearray(path.read_bytes())
    data[data.index(b"adobe:ns:meta")] ^= 1
    summary = read_manifest(io.BytesIO(bytes(data)), MEDIA_TYPES[format], OURS.anchors)
    assert summary.state == "invalid"


def test_another_reader_sees_every_frame(result: tuple[Path, OutputFormat]) -> None:
    path, format = result
    count = len(look(path).frames)
    label_moving(path, format)
    Signer(lambda: OURS).sign_file(path, MEDIA_TYPES[format], SWAP)
    if format == "mp4":
        assert len([line for line in list_frames(path).splitlines() if line[0] != "#"]) == count
        return
    with Image.open(path) as picture:
        assert getattr(picture, "n_frames", 1) == count
        picture.seek(count - 1)
        picture.load()


@pytest.mark.parametrize("format", ["gif", "apng", "webp"])
def test_a_file_of_another_kind_is_not_labelled(format: OutputFormat, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"something else entirely")
    with pytest.raises(ValueError, match=r"not a (GIF|PNG|WebP)"):
        label_moving(path, format)
    assert path.read_bytes() == b"something else entirely"
