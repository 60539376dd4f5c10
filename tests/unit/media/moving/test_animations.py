"""Animated WebP and APNG as browsers show them, and as they are written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.core.deadline import Deadline
from layers.core.errors import PictureTooLarge, UnreadablePicture, UnsupportedPicture
from layers.media.moving.description import Frame, Limits, MovingPicture, OutputFormat
from layers.media.moving.reader import MovingReader
from layers.media.moving.webp_frames import read_webp, read_webp_frames
from layers.media.moving.writer import create_writer
from layers.media.picture import Pixels
from tests.unit.media.moving.drawn_animations import (
    BLUE,
    GREEN,
    RED,
    RESTORED,
    SPRITE,
    TRAPS,
    WALL,
    Layer,
    show,
    write_apng,
    write_webp,
)

LIMITS = Limits()
FILES = {
    **{f"webp: {name}": (write_webp(layers), layers) for name, layers in TRAPS.items()},
    **{f"apng: {name}": (write_apng(layers), layers) for name, layers in (TRAPS | RESTORED).items()},
}


def read(path: Path, data: bytes | None = None, limits: Limits = LIMITS) -> tuple[MovingReader, list[Frame]]:
    if data is not None:
        path.write_bytes(data)
    reader = MovingReader(path, limits)
    return reader, list(reader.frames(Deadline.after(60)))


def describe(path: Path, data: bytes, limits: Limits = LIMITS) -> MovingPicture:
    path.write_bytes(data)
    return MovingReader(path, limits).picture


def rewrite(path: Path, data: bytes, format: OutputFormat, square: bool = False) -> tuple[Path, list[Pixels]]:
    """The file again, perhaps with a moving square in it, and what its frames should show."""
    reader, frames = read(path, data)
    target, wanted = path.with_name(f"again.{format}"), []
    with create_writer(reader, target, format, deadline=Deadline.after(60)) as writer:
        for frame in frames:
            pixels = frame.pixels.copy()
            if square:
                place = pixels[2:5, frame.number : frame.number + 4]
                place[:, :, :3] = np.where(place[:, :, 3:] > 0, [10, 200, 90], 0)
            wanted.append(pixels)
            writer.write(frame, pixels)
        writer.close()
    return target, wanted


@pytest.mark.parametrize("name", FILES)
def test_each_frame_is_what_browsers_show(name: str, tmp_path: Path) -> None:
    data, layers = FILES[name]

    _, frames = read(tmp_path / "a", data)

    expected = show(layers)
    assert len(frames) == len(expected)
    for frame, picture in zip(frames, expected, strict=True):
        assert np.abs(frame.pixels.astype(int) - picture).max() <= 1, frame.number
    assert [frame.is_repeat for frame in frames] == [
        bool(number) and np.array_equal(frames[number].pixels, frames[number - 1].pixels)
        for number in range(len(frames))
    ]


@pytest.mark.parametrize("name", FILES)
def test_opencv_shows_the_same(name: str, tmp_path: Path) -> None:
    """Its WebP reader is libwebp's own, so frames must be equal to the last bit."""
    data, _ = FILES[name]
    success, animation = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))
    assert success
    for frame, other in zip(read(tmp_path / "a", data)[1], animation.frames, strict=True):
        other = other.copy()
        other[other[:, :, 3] == 0] = 0
        assert np.array_equal(frame.pixels, other), frame.number


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("square", [False, True])
def test_what_is_written_shows_the_same(name: str, square: bool, tmp_path: Path) -> None:
    data, _ = FILES[name]
    format: OutputFormat = "webp" if name.startswith("webp") else "apng"

    target, wanted = rewrite(tmp_path / "a", data, format, square)

    reader, frames = read(target)
    assert [np.array_equal(*pair) for pair in zip([frame.pixels for frame in frames], wanted, strict=True)] == [
        True
    ] * len(wanted)
    before = describe(tmp_path / "a", data)
    assert (reader.picture.raw_delays, reader.picture.loop) == (before.raw_delays, before.loop)
    _, animation = cv2.imdecodeanimation(np.frombuffer(target.read_bytes(), np.uint8))
    assert [int(duration) for duration in animation.durations] == [1000 * Fraction(*raw) for raw in before.raw_delays]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([RED, BLUE, GREEN, (9, 9, 200, 77), (0, 0, 0, 0)]),
            st.integers(0, 3),
            st.integers(0, 2),
            st.booleans(),
            st.booleans(),
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_order_of_places_blending_and_disposal(
    steps: list[tuple[tuple[int, int, int, int], int, int, bool, bool]],
) -> None:
    layers = tuple(
        Layer(color, 2 * x, 2 * y, 6, 4, blends=blends, disposal="clear" if clears else "leave")
        for color, x, y, blends, clears in steps
    )
    data = write_webp(layers)
    frames = [frame.pixels for frame in read_webp_frames(data, read_webp(data, LIMITS))]
    assert all(np.abs(a.astype(int) - b).max() <= 3 for a, b in zip(frames, show(layers), strict=True))


def test_a_hidden_default_picture_is_no_frame(tmp_path: Path) -> None:
    layers = (WALL, SPRITE)

    reader, frames = read(tmp_path / "a", write_apng(layers, hidden=Layer(GREEN)))

    assert reader.picture.frames == len(frames) == 2
    assert np.array_equal(frames[0].pixels, WALL.pixels)


def test_a_frame_of_an_odd_fraction_of_a_second(tmp_path: Path) -> None:
    layers = (replace(WALL, delay=(1, 30)), replace(SPRITE, delay=(2, 0)), replace(WALL, delay=(0, 30)))

    picture = describe(tmp_path / "a", write_apng(layers))

    assert picture.raw_delays == ((1, 30), (2, 0), (0, 30))
    assert picture.delays == (Fraction(1, 30), Fraction(2, 100), Fraction(1, 10))
    target, _ = rewrite(tmp_path / "a", write_apng(layers), "apng")
    assert MovingReader(target, LIMITS).picture.raw_delays == picture.raw_delays


@pytest.mark.parametrize("loop", [0, 1, 7])
def test_loops(loop: int, tmp_path: Path) -> None:
    for data, format in ((write_webp((WALL, SPRITE), loop), "webp"), (write_apng((WALL, SPRITE), loop), "apng")):
        picture = describe(tmp_path / "a", data)
        assert (picture.loop, picture.plays, picture.kind) == (loop, loop, format)
        target, _ = rewrite(tmp_path / "a", data, "webp" if format == "webp" else "apng")
        assert MovingReader(target, LIMITS).picture.loop == loop


def test_a_still_is_told_from_what_moves(tmp_path: Path) -> None:
    assert describe(tmp_path / "a", write_webp((WALL,))).is_still
    assert describe(tmp_path / "a", write_apng((WALL,))).is_still
    for extension in (".png", ".webp", ".jpg"):
        data = cv2.imencode(extension, np.ascontiguousarray(WALL.pixels[:, :, :3]))[1].tobytes()
        with pytest.raises(UnsupportedPicture):
            describe(tmp_path / "a", data)


def test_lossy_frames_with_alpha(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    frames = [cv2.GaussianBlur(rng.integers(0, 256, (40, 50, 4), np.uint8), (0, 0), 5) for _ in range(3)]
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [30, 40, 50]
    data = cv2.imencodeanimation(".webp", animation, [cv2.IMWRITE_WEBP_QUALITY, 80])[1].tobytes()
    (tmp_path / "b").write_bytes(data)

    reader, own = read(tmp_path / "a", data)

    assert not reader.picture.lossless
    theirs = cv2.imdecodeanimation(np.frombuffer(data, np.uint8))[1].frames
    assert [np.array_equal(a.pixels, b) for a, b in zip(own, theirs, strict=True)] == [True] * 3
    target, _ = rewrite(tmp_path / "a", data, "webp")
    again = read(target)[1]
    assert max(np.abs(a.pixels.astype(int) - b.pixels).mean() for a, b in zip(own, again, strict=True)) < 3


@pytest.mark.parametrize("kind", ["webp", "apng"])
def test_a_file_cut_anywhere_keeps_its_whole_frames(kind: str, tmp_path: Path) -> None:
    layers = (WALL, SPRITE, replace(SPRITE, x=4))
    data = write_webp(layers) if kind == "webp" else write_apng(layers)
    most = 0
    for cut in range(1, len(data)):
        (tmp_path / "a").write_bytes(data[:cut])
        try:
            reader, frames = read(tmp_path / "a")
        except (UnreadablePicture, UnsupportedPicture):
            assert not most
            continue
        assert reader.notes == ["truncated"]
        assert most <= len(frames) <= 3
        most = len(frames)
        assert np.array_equal(frames[-1].pixels, show(layers)[most - 1])
    assert most >= 2


def test_frames_after_a_damaged_one_are_dropped(tmp_path: Path) -> None:
    data = bytearray(write_webp((WALL, SPRITE, WALL)))
    at = bytes(data).index(b"VP8L", bytes(data).index(b"VP8L") + 4)
    data[at + 13 : at + 20] = b"\xff" * 7

    reader, frames = read(tmp_path / "a", bytes(data))

    assert len(frames) == 1
    assert reader.notes == ["damaged_frame"]


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"frames": 1}, "more than 1 frames"),
        ({"seconds": 0.15}, "lasts 0.2 seconds"),
        ({"pixels": 95}, "12 x 8 pixels"),
        ({"total_pixels": 191}, "in all its frames"),
        ({"bytes": 20}, "bytes"),
    ],
)
@pytest.mark.parametrize("write", [write_webp, write_apng])
def test_limits_are_kept_before_anything_is_decoded(
    write: Callable[..., bytes], limits: dict[str, int], says: str, tmp_path: Path
) -> None:
    with pytest.raises(PictureTooLarge, match=says):
        describe(tmp_path / "a", write((WALL, WALL)), replace(LIMITS, **limits))


@pytest.mark.parametrize("write", [write_webp, write_apng])
def test_a_frame_beyond_its_canvas_is_refused(write: Callable[..., bytes], tmp_path: Path) -> None:
    with pytest.raises(UnreadablePicture, match="does not fit"):
        describe(tmp_path / "a", write((WALL, Layer(RED, 8, 2, 6, 4))))
