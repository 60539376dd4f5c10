"""Moving pictures that cost more than they are worth, contradict themselves, or name other files.

Whatever comes, the answer is a description and frames within limits, or an error of its kind, in time.
"""

from __future__ import annotations

import io
import socket
import struct
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given

from layers.core.deadline import Deadline
from layers.core.errors import (
    ColdswapError,
    EncodingFailed,
    OutOfTime,
    PictureTooLarge,
    UnreadablePicture,
    UnsupportedPicture,
)
from layers.media.moving.description import Frame, Limits
from layers.media.moving.gif_blocks import read_gif
from layers.media.moving.gif_frames import read_gif_frames
from layers.media.moving.gif_writer import GifWriter
from layers.media.moving.reader import MovingReader
from tests.attack.bombs import png_chunk, vp8l, vp8x, webp, webp_chunk
from tests.attack.test_fuzz import LONG, QUICK, fuzzed, in_time, mutants
from tests.attack.test_media import REFERENCES, box, emptied, full
from tests.unit.media.moving.drawn_animations import RESTORED, SPRITE, WALL, write_apng, write_webp
from tests.unit.media.moving.drawn_animations import TRAPS as ANIMATION_TRAPS
from tests.unit.media.moving.drawn_gifs import TRAPS as GIF_TRAPS
from tests.unit.media.moving.drawn_gifs import DrawnGif, fill
from tests.unit.media.moving.test_video import EVEN, encode

SMALL = Limits(seconds=60, pixels=1 << 14, frames=60, bytes=1 << 20, total_pixels=1 << 20)
REFUSALS = (UnreadablePicture, UnsupportedPicture, PictureTooLarge)


@cache
def animations() -> list[bytes]:
    """Right ones, with all that is tricky in them."""
    return [
        *(drawn.write() for drawn in GIF_TRAPS.values()),
        *(write_webp(layers) for layers in ANIMATION_TRAPS.values()),
        *(write_apng(layers) for layers in RESTORED.values()),
        write_apng((WALL, SPRITE), hidden=WALL),
    ]


@cache
def gifs() -> list[bytes]:
    return [drawn.write() for drawn in GIF_TRAPS.values()]


@cache
def videos() -> list[bytes]:
    """Small ones of each kind of file."""
    return [
        encode("a.mp4", EVEN, "-movflags", "+faststart"),
        encode("a.mov", EVEN),
        encode("a.mp4", EVEN, "-movflags", "frag_keyframe+empty_moov"),
        encode("a.webm", EVEN, codec="libvpx-vp9"),
    ]


@pytest.fixture
def trap() -> Iterator[socket.socket]:
    """Listens, and must never be asked."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0)
        yield listener


def probe(data: bytes, limits: Limits = SMALL) -> MovingReader:
    """Probe the bytes as a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data)
        return MovingReader(path, limits)


def read(data: bytes, limits: Limits = SMALL) -> list[Frame]:
    """Read the bytes as a file."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a"
        path.write_bytes(data)
        reader = MovingReader(path, limits)
        frames = list(reader.frames(Deadline.after(20)))
        shape = reader.picture.height, reader.picture.width
        assert all(frame.pixels.shape[:2] == shape for frame in frames)
        assert len(frames) <= reader.picture.frames
        assert all(frame.delay > 0 for frame in frames)
        return frames


def rewrite(data: bytes) -> None:
    """Whatever can be read of a GIF can be written, and shows the same again."""
    file = read_gif(data, SMALL)
    frames = list(read_gif_frames(data, file))
    out = io.BytesIO()
    writer = GifWriter(out, data, file)
    for frame in frames:
        writer.write(frame.pixels, frame.pixels)
    writer.close()
    if frames:
        again = list(read_gif_frames(out.getvalue(), read_gif(out.getvalue(), SMALL)))
        assert not writer.is_exact or [frame.digest for frame in again] == [frame.digest for frame in frames]


def test_a_changed_animation() -> None:
    @given(data=mutants(animations))
    @fuzzed(QUICK)
    def each(data: bytes) -> None:
        in_time(read, data, *REFUSALS)

    each()


def test_a_changed_gif_written_again() -> None:
    @given(data=mutants(gifs))
    @fuzzed(QUICK)
    def each(data: bytes) -> None:
        in_time(rewrite, data, *REFUSALS)

    each()


def test_a_changed_video_probed() -> None:
    @given(data=mutants(videos))
    @fuzzed(QUICK)
    def each(data: bytes) -> None:
        in_time(probe, data, *REFUSALS)

    each()


LONG_TESTS: dict[str, tuple[Callable[[bytes], object], Callable[[], list[bytes]], int]] = {
    "animations": (read, animations, LONG),
    "gifs-again": (rewrite, gifs, LONG),
    "videos-probed": (probe, videos, LONG),
    "videos": (read, videos, LONG // 20),
}


@pytest.mark.full
@pytest.mark.parametrize("name", LONG_TESTS)
def test_many_more(name: str) -> None:
    work, source, examples = LONG_TESTS[name]

    @given(data=mutants(source))
    @fuzzed(examples)
    def each(data: bytes) -> None:
        in_time(work, data, *REFUSALS, EncodingFailed, OutOfTime)

    each()


def gif_of(blocks: bytes, width: int = 8, height: int = 6) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x80\0\0" + bytes(6) + blocks + b";"


def gif_image(width: int, height: int, data: bytes = b"\x02\x02\x4c\x01\0", x: int = 0) -> bytes:
    return b"\x2c" + struct.pack("<HHHHB", x, 0, width, height, 0) + data


def apng_of(frames: int, width: int = 8, height: int = 6, pieces: int = 1) -> bytes:
    """An APNG of frames of one pixel each."""
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))
    parts = [b"\x89PNG\r\n\x1a\n", head, png_chunk(b"acTL", struct.pack(">II", frames, 0))]
    for number in range(frames):
        parts.append(png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", number, 1, 1, 0, 0, 1, 10, 0, 0)))
        parts += [png_chunk(b"IDAT" if number == 0 else b"fdAT", bytes(4))] * pieces
    return b"".join([*parts, png_chunk(b"IEND", b"")])


def webp_of(frames: int, width: int = 8, height: int = 6, delay: int = 100) -> bytes:
    frame = bytes(6) + bytes(6) + delay.to_bytes(3, "little") + b"\0" + vp8l(1, 1)
    anim = webp_chunk(b"ANIM", bytes(6))
    return webp(vp8x(0x12, width, height), anim, webp_chunk(b"ANMF", frame) * frames)


def mp4_of(width: int, height: int, samples: int, delta: int = 1) -> bytes:
    """An index alone, which claims that."""
    entry = struct.pack(">I4s24xHH", 86, b"avc1", width, height) + bytes(86 - 36)
    table = box(
        b"stbl",
        full(b"stsd", struct.pack(">I", 1), entry),
        full(b"stts", struct.pack(">III", 1, samples, delta)),
        full(b"stsz", struct.pack(">II", 9, samples)),
    )
    matrix = struct.pack(">9i", 1, 0, 0, 0, 1, 0, 0, 0, 1)
    media = box(
        b"mdia",
        full(b"mdhd", struct.pack(">IIIII", 0, 0, 30, samples * delta % (1 << 32), 0)),
        full(b"hdlr", bytes(4), b"vide", bytes(12)),
        box(b"minf", table),
    )
    return box(b"ftyp", b"isom", bytes(4)) + box(
        b"moov", box(b"trak", full(b"tkhd", bytes(36), matrix, bytes(8)), media)
    )


BOMBS: dict[str, Callable[[], bytes]] = {
    "gif: frames": lambda: gif_of(gif_image(1, 1) * 100_000),
    "gif: canvas": lambda: gif_of(gif_image(1, 1), 65_535, 65_535),
    "gif: canvas times frames": lambda: gif_of(gif_image(1, 1) * 1800, 8000, 8000),
    "gif: a rectangle": lambda: gif_of(gif_image(65_535, 65_535), 8, 8),
    "gif: the first frame's place": lambda: gif_of(gif_image(1, 1, x=65_534), 8, 65_000),
    "gif: delays": lambda: DrawnGif((fill("0", 1, 1, delay=65_535),) * 60).write(),
    "gif: sub-blocks": lambda: gif_of(
        b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02" + b"\x01\x02" * 5_000_000
    ),
    "gif: extensions": lambda: gif_of(b"\x21\xfe\0" * 3_000_000),
    "gif: fillers": lambda: gif_of(b"\0" * 5_000_000),
    "webp: frames": lambda: webp_of(5000),
    "webp: canvas": lambda: webp_of(2, 1 << 24, 1 << 24),
    "webp: delays": lambda: webp_of(10, delay=(1 << 24) - 1),
    "apng: frames": lambda: apng_of(5000),
    "apng: canvas": lambda: apng_of(2, 1 << 30, 1 << 30),
    "apng: pieces": lambda: apng_of(2, pieces=200_000),
    "mp4: frames": lambda: mp4_of(64, 48, 4_000_000_000, 1),
    "mp4: canvas": lambda: mp4_of(65_535, 65_535, 10, 1),
    "mp4: delays": lambda: mp4_of(64, 48, 10, 30_000),
    "webm: elements": lambda: b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7 + b"\xec\x80" * 400_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_anything_is_decoded(name: str) -> None:
    data = BOMBS[name]()
    with pytest.raises((PictureTooLarge, UnreadablePicture)):
        in_time(lambda each: probe(each, Limits()), data)


CONTRADICTIONS: dict[str, Callable[[], bytes]] = {
    "apng: more frames announced than there are": lambda: write_apng((WALL, SPRITE)).replace(
        png_chunk(b"acTL", struct.pack(">II", 2, 0)), png_chunk(b"acTL", struct.pack(">II", 9, 0))
    ),
    "apng: an animation of none": lambda: png_only(),
    "webp: an animation without frames": lambda: webp(vp8x(0x02, 8, 6), webp_chunk(b"ANIM", bytes(6))),
    "webp: a frame of another size": lambda: webp(
        vp8x(0x02, 8, 6), webp_chunk(b"ANMF", bytes(6) + b"\x05\0\0\x05\0\0\x64\0\0\0" + vp8l(2, 2))
    ),
    "gif: no image": lambda: gif_of(b""),
    "mp4: no frames": lambda: mp4_of(64, 48, 0),
}


def png_only() -> bytes:
    """An APNG that announces an animation, and has a picture but no frame."""
    data = apng_of(1)
    at = data.index(b"fcTL") - 4
    return data[:at] + data[at + 38 :]


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_what_contradicts_itself_is_read_as_far_as_it_is_right_or_refused(name: str) -> None:
    frames: list[Frame] = []
    with suppress(UnreadablePicture):
        frames = read(CONTRADICTIONS[name]())
    assert len(frames) == (2 if "more frames" in name else 0)


@pytest.mark.parametrize("name", REFERENCES)
def test_a_video_whose_samples_are_said_to_lie_elsewhere_leads_nowhere(
    name: str, tmp_path: Path, trap: socket.socket
) -> None:
    canary, plain = tmp_path / "canary.mp4", tmp_path / "plain.mp4"
    for path in (canary, plain):
        path.write_bytes(encode("a.mp4", EVEN))
    url = f"http://127.0.0.1:{trap.getsockname()[1]}/a.mp4"

    with suppress(ColdswapError):
        first = read(emptied(plain, REFERENCES[name](str(canary), url)))[0]
        whole = read(canary.read_bytes())[0]
        assert not np.array_equal(first.pixels, whole.pixels)
    with pytest.raises(BlockingIOError):
        trap.accept()


@pytest.mark.parametrize(
    "text",
    [
        b"#EXTM3U\n#EXTINF:5,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile a.mp4\n",
        b"<svg/>",
        b"%PDF-1.7",
        b"\0",
    ],
)
def test_what_does_not_move_is_refused_by_its_name(text: bytes) -> None:
    with pytest.raises(UnsupportedPicture, match="Send a GIF"):
        probe(text)


def test_nothing_is_refused_as_empty() -> None:
    with pytest.raises(UnreadablePicture, match="empty"):
        probe(b"")


def test_a_gif_of_a_thousand_large_frames_needs_the_memory_of_a_few() -> None:
    """A canvas of 1.2 megapixels takes 4.9 MB."""
    images = (fill("0", 1, 1), *(fill("1", 1, 1, x=number) for number in range(50)))
    data = DrawnGif(images, 1280, 960).write()
    file = read_gif(data, Limits())
    tracemalloc.start()
    try:
        assert sum(1 for _ in read_gif_frames(data, file)) == 51
        assert tracemalloc.get_traced_memory()[1] < 6 * 1280 * 960 * 4
    finally:
        tracemalloc.stop()
