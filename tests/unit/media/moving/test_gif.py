"""GIFs as browsers show them, and as they are written again."""

from __future__ import annotations

import io
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.moving.description import Frame, Limits
from layers.media.moving.gif_blocks import GifFile, describe_gif, read_gif
from layers.media.moving.gif_frames import read_gif_frames
from layers.media.moving.gif_lzw import pack, unpack_any
from layers.media.moving.gif_writer import GifWriter
from layers.media.picture import Pixels
from tests.unit.media.moving.drawn_gifs import (
    COLORS,
    OTHERS,
    TRAPS,
    Drawn,
    DrawnGif,
    block,
    fill,
    loop_block,
    write_image,
)

LIMITS = Limits()


def read(data: bytes) -> tuple[GifFile, list[Frame]]:
    file = read_gif(data, LIMITS)
    return file, list(read_gif_frames(data, file))


def as_seen(frames: list[list[list[tuple[int, int, int, int]]]]) -> list[Pixels]:
    """What the drawing says that a browser shows, BGRA."""
    return [np.array(frame, np.uint8)[:, :, [2, 1, 0, 3]] for frame in frames]


def rewrite(data: bytes, change: Callable[[int, Pixels], Pixels] = lambda number, pixels: pixels) -> tuple[bytes, bool]:
    """The GIF again, with changed frames, and whether all else kept its colours."""
    file, frames = read(data)
    out = io.BytesIO()
    writer = GifWriter(out, data, file)
    for frame in frames:
        writer.write(frame.pixels, change(frame.number, frame.pixels.copy()))
    writer.close()
    return out.getvalue(), writer.is_exact


def film(frames: int = 5, width: int = 120, height: int = 80) -> bytes:
    """Something like a filmed GIF, as Pillow writes it: every frame has 256 colours of its own."""
    y, x = np.mgrid[:height, :width]
    pictures = []
    for number in range(frames):
        waves = [np.sin((x + shift * number) / 23 + shift) + np.cos((y - 4 * number) / 31) for shift in (1, 2, 4)]
        picture = np.stack([130 + 45 * wave for wave in waves], axis=2).astype(np.uint8)
        pictures.append(Image.fromarray(picture).quantize(256))
    out = io.BytesIO()
    pictures[0].save(out, "gif", save_all=True, append_images=pictures[1:], duration=50, loop=0)
    return out.getvalue()


@pytest.mark.parametrize("name", TRAPS)
def test_each_frame_is_what_browsers_show(name: str) -> None:
    drawn = TRAPS[name]
    file, frames = read(drawn.write())

    expected = as_seen(drawn.show())
    assert len(frames) == len(expected) == len(file.images)
    for frame, picture in zip(frames, expected, strict=True):
        assert np.array_equal(frame.pixels, picture), frame.number
    repeats = [False, *(np.array_equal(*pair) for pair in pairwise(expected))]
    assert [frame.is_repeat for frame in frames] == repeats


@pytest.mark.parametrize("name", TRAPS)
def test_a_gif_written_again_shows_the_same(name: str) -> None:
    data = TRAPS[name].write()

    again, is_exact = rewrite(data)

    assert is_exact
    assert_same_frames(data, again)


@pytest.mark.parametrize("name", TRAPS)
def test_a_changed_part_is_shown_and_changes_nothing_else(name: str) -> None:
    data = TRAPS[name].write()
    moving = random.Random(name)

    def change(number: int, pixels: Pixels) -> Pixels:
        y, x = moving.randrange(len(pixels) - 1), moving.randrange(pixels.shape[1] - 1)
        pixels[y : y + 3, x : x + 3, :3] = [30 * number % 256, 77, 130]
        return pixels

    moving.seed(name)
    again, is_exact = rewrite(data, change)
    moving.seed(name)

    assert is_exact
    for before, after in zip(read(data)[1], read(again)[1], strict=True):
        wanted = change(before.number, before.pixels.copy())
        untouched = (wanted == before.pixels).all(axis=2) | (before.pixels[:, :, 3] == 0)
        assert np.array_equal(after.pixels[untouched], before.pixels[untouched])
        assert np.array_equal(after.pixels[:, :, 3], before.pixels[:, :, 3])
        error = np.abs(after.pixels[~untouched].astype(int) - wanted[~untouched])
        assert not error.size or error.mean() < 8


def assert_same_frames(one: bytes, other: bytes) -> None:
    (file, frames), (other_file, other_frames) = read(one), read(other)
    assert [np.array_equal(a.pixels, b.pixels) for a, b in zip(frames, other_frames, strict=True)] == [True] * len(
        frames
    )
    assert [image.delay for image in file.images] == [image.delay for image in other_file.images]
    assert file.loop == other_file.loop


def test_a_filmed_gif_keeps_every_colour_beside_a_changed_face() -> None:
    data = film()

    def change(number: int, pixels: Pixels) -> Pixels:
        face = pixels[4:40, 30 + number : 70 + number, :3]
        face[:] = np.clip(face[::-1].astype(int) + np.array([-4, 3, 6]), 0, 255)
        return pixels

    again, is_exact = rewrite(data, change)

    assert is_exact
    for before, after in zip(read(data)[1], read(again)[1], strict=True):
        away = np.ones(before.pixels.shape[:2], bool)
        away[4:40, 30 + before.number : 70 + before.number] = False
        assert (before.pixels != after.pixels)[away].sum() == 0


def test_another_reader_sees_the_same_film() -> None:
    again, _ = rewrite(film())
    with Image.open(io.BytesIO(again)) as picture:
        for frame in read(again)[1]:
            picture.seek(frame.number)
            assert np.array_equal(np.asarray(picture.convert("RGB")), frame.pixels[:, :, 2::-1])


def test_a_face_gets_the_memes_own_colours_where_they_are_rich_enough() -> None:
    greys = tuple((level, level, level) for level in range(0, 256, 4))
    data = DrawnGif((fill("0", 20, 20), fill("9", 20, 20)), 20, 20, table=greys).write()

    def change(number: int, pixels: Pixels) -> Pixels:
        pixels[5:15, 5:15, :3] = np.linspace(40, 200, 10)[:, None, None]
        return pixels

    again, _ = rewrite(data, change)

    assert all(image.table == read_gif(again, LIMITS).table for image in read_gif(again, LIMITS).images)
    assert len(again) < len(data) + 200
    face = read(again)[1][1].pixels[5:15, 5:15, :3].astype(float)
    assert np.abs(face.mean(axis=(1, 2)) - np.linspace(40, 200, 10)).max() < 4


def test_a_face_gets_colours_of_its_own_where_the_memes_are_too_few() -> None:
    data = DrawnGif((fill("0", 20, 20), fill("1", 20, 20)), 20, 20, table=COLORS).write()
    tones = np.stack(np.meshgrid(np.linspace(90, 200, 10), np.linspace(60, 140, 10)), axis=2)

    def change(number: int, pixels: Pixels) -> Pixels:
        pixels[5:15, 5:15, 1:3] = tones
        pixels[5:15, 5:15, 0] = 50
        return pixels

    again, is_exact = rewrite(data, change)

    assert is_exact
    face = read(again)[1][1].pixels[5:15, 5:15, 1:3]
    assert np.abs(face - tones).mean() < 4


def test_rare_colours_give_way_where_a_frame_needs_all_256_and_a_face_has_none_of_them() -> None:
    table = tuple((level, 255 - level, 0) for level in range(256))
    image = Drawn(tuple(tuple((x + 16 * y) % 256 for x in range(32)) for y in range(32)), table=table)
    data = DrawnGif((image, image), 32, 32, table=None).write()

    def change(number: int, pixels: Pixels) -> Pixels:
        pixels[:12, :12, :3] = 250, 128, 128
        return pixels

    again, is_exact = rewrite(data, change)

    assert not is_exact
    before, after = read(data)[1][0].pixels.astype(int), read(again)[1][0].pixels
    assert np.abs(after[:12, :12, :3] - [250, 128, 128]).mean() < 4
    assert np.abs(after[12:] - before[12:]).mean() < 1


@pytest.mark.parametrize(("raw", "played"), [(0, 10), (1, 10), (2, 2), (3, 3), (7, 7), (65535, 65535)])
def test_delays_to_the_hundredth(raw: int, played: int) -> None:
    data = DrawnGif((fill("0", 8, 6, delay=raw), fill("1", 8, 6, delay=raw))).write()
    limits = replace(LIMITS, seconds=10_000)

    description = describe_gif(read_gif(data, limits), len(data), limits)

    assert description.raw_delays == ((raw, 100),) * 2
    assert description.delays == (Fraction(played, 100),) * 2
    assert description.seconds == Fraction(2 * played, 100)
    assert [frame.start for frame in read(data)[1]] == [0, Fraction(played, 100)] == list(description.starts)
    again, _ = rewrite(data)
    assert [image.delay for image in read_gif(again, LIMITS).images] == [raw, raw]


@pytest.mark.parametrize(("loop", "plays"), [(None, 1), (0, 0), (1, 2), (5, 6), (65535, 65536)])
def test_loops(loop: int | None, plays: int) -> None:
    data = DrawnGif((fill("0", 8, 6), fill("1", 8, 6)), loop=loop).write()

    description = describe_gif(read_gif(data, LIMITS), len(data), LIMITS)

    assert (description.loop, description.plays) == (loop, plays)
    assert read_gif(rewrite(data)[0], LIMITS).loop == loop


def test_the_other_name_of_the_loop_block() -> None:
    data = DrawnGif((fill("0", 8, 6), fill("1", 8, 6)), loop=3).write()
    assert read_gif(data.replace(b"NETSCAPE2.0", b"ANIMEXTS1.0"), LIMITS).loop == 3


def test_a_still_is_told() -> None:
    data = DrawnGif((fill("0", 8, 6),)).write()
    assert describe_gif(read_gif(data, LIMITS), len(data), LIMITS).is_still


def test_strange_extensions_are_passed_over() -> None:
    data = DrawnGif((fill("0", 8, 6), fill("1", 8, 6))).write()
    extensions = (
        b"\x21\xfe\x05hello\0" + b"\x21\x01\x03abc\0" + b"\x21\xff\x0bXMP DataXMP\x02xx\0" + b"\x21\x77\0" + b"\0\0"
    )
    at = 13 + 3 * len(COLORS)

    file, frames = read(data[:at] + extensions + data[at:])

    assert len(frames) == 2
    assert not file.truncated


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (3, 255), (70, 90), (260, 250)])
@pytest.mark.parametrize("kind", ["noise", "flat", "steps"])
def test_what_is_packed_another_reader_unpacks(shape: tuple[int, int], kind: str) -> None:
    rng = np.random.default_rng(3)
    steps = (np.arange(shape[0] * shape[1]) // 3 % 256).astype(np.uint8).reshape(shape)
    indices = {"noise": rng.integers(0, 256, shape, np.uint8), "flat": np.full(shape, 7, np.uint8), "steps": steps}[
        kind
    ]
    size = struct.pack("<HH", shape[1], shape[0])
    greys = bytes(level for index in range(256) for level in [index] * 3)

    file = b"GIF89a" + size + b"\xf7\0\0" + greys + b"\x2c\0\0\0\0" + size + b"\0" + pack(indices) + b";"

    with Image.open(io.BytesIO(file)) as picture:
        assert np.array_equal(np.asarray(picture.convert("L")), indices)


@pytest.mark.parametrize("colors", [2, 4, 16, 256])
def test_what_opencv_refuses_is_unpacked_too(colors: int) -> None:
    rng = np.random.default_rng(4)
    indices = np.repeat(rng.integers(0, colors, (60, 30), np.uint8), 3, axis=1)
    picture = Image.fromarray(indices, "P")
    picture.putpalette([level for index in range(colors) for level in [index] * 3])
    out = io.BytesIO()
    picture.save(out, "gif", interlace=False)
    image = read_gif(out.getvalue(), LIMITS).images[0]

    pixels = unpack_any(memoryview(out.getvalue())[slice(*image.data)], 10_000)

    assert pixels == indices.tobytes()


def test_a_file_cut_anywhere_keeps_its_whole_frames() -> None:
    drawn = TRAPS["disposal 3 restores"]
    data, expected = drawn.write(), as_seen(drawn.show())
    ends, at = [], 13 + 3 * len(COLORS) + len(loop_block(0))
    for image in drawn.images:
        at += len(write_image(image))
        ends.append(at)

    for cut in range(len(data)):
        whole = sum(end <= cut for end in ends)
        if not whole:
            with pytest.raises(UnreadablePicture):
                read_gif(data[:cut], LIMITS)
            continue
        file, frames = read(data[:cut])
        assert describe_gif(file, cut, LIMITS).notes == ("truncated",)
        assert len(frames) == whole
        assert np.array_equal(frames[-1].pixels, expected[whole - 1])


def test_frames_after_a_damaged_one_are_dropped() -> None:
    images = [fill("0", 8, 6), fill("1", 8, 6), fill("2", 8, 6)]
    data = DrawnGif(tuple(images)).write()
    at = data.index(write_image(images[1])) + 18  # its code size
    assert len(read(data[:at] + b"\x0f" + data[at + 1 :])[1]) == 1


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        ({"frames": 1}, "more than 1 frames"),
        ({"seconds": 0.15}, "lasts 0.2 seconds"),
        ({"pixels": 47}, "8 x 6 pixels"),
        ({"total_pixels": 95}, "in all its frames"),
        ({"bytes": 20}, "bytes"),
    ],
)
def test_limits_are_kept_before_anything_is_decoded(limits: dict[str, int], says: str) -> None:
    data = DrawnGif((fill("0", 8, 6), fill("1", 8, 6))).write()
    strict = replace(LIMITS, **limits)
    with pytest.raises(PictureTooLarge, match=says):
        describe_gif(read_gif(data, strict), len(data), strict)


def test_a_huge_rectangle_in_a_small_canvas_is_refused() -> None:
    data = DrawnGif((fill("0", 8, 6), fill("1", 8, 6))).write()
    at = data.rindex(b"\x2c\0\0\0\0\x08\0\x06\0")
    with pytest.raises(PictureTooLarge, match="60000 x 60000"):
        read_gif(data[: at + 5] + struct.pack("<HH", 60_000, 60_000) + data[at + 9 :], LIMITS)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 7), st.integers(0, 3), st.booleans()), min_size=1, max_size=7)
)
@settings(max_examples=60, deadline=None)
def test_any_order_of_places_and_disposals(steps: list[tuple[int, int, int, bool]]) -> None:
    images = tuple(
        block(
            "012",
            "120",
            "201",
            x=x,
            y=y,
            disposal=disposal,
            transparent=1 if hole else None,
            table=OTHERS if x % 2 else None,
        )
        for x, y, disposal, hole in steps
    )
    first = images[0]
    drawn = DrawnGif(images, canvas=(max(8, first.x + 3), max(6, first.y + 3)))

    frames = read(drawn.write())[1]

    assert [np.array_equal(frame.pixels, seen) for frame, seen in zip(frames, as_seen(drawn.show()), strict=True)] == [
        True
    ] * len(images)
    assert_same_frames(drawn.write(), rewrite(drawn.write())[0])
