"""Pictures of every kind against an independent reader, and every way in which one can be broken."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from layers.core.errors import ColdswapError, PictureTooLarge, UnreadablePicture, UnsupportedPicture
from layers.media.decode import decode
from layers.media.picture import NEUTRAL, Picture, Pixels
from layers.media.picture_header import probe

HUGE = 10**9


def gradient(height: int = 40, width: int = 60) -> Image.Image:
    """Different in each corner and channel, so that no flip, turn or swap of channels goes unseen."""
    ramp = np.add.outer(np.arange(height) * 3, np.arange(width) * 2)[..., None] + np.array([0, 40, 90])
    return Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def decode_whole(data: bytes) -> Picture:
    return decode(data, HUGE, HUGE)


def oracle(data: bytes) -> Pixels:
    """uint8 BGR, upright, by the other reader."""
    with Image.open(io.BytesIO(data)) as image:
        upright = ImageOps.exif_transpose(image)
        return np.asarray(upright.convert("RGB"))[:, :, ::-1]


KINDS = {
    "jpeg": saved(gradient(), "JPEG", quality=95),
    "progressive jpeg": saved(gradient(), "JPEG", progressive=True),
    "grey jpeg": saved(gradient().convert("L"), "JPEG"),
    "png": saved(gradient(), "PNG"),
    "palette png": saved(gradient().quantize(64), "PNG"),
    "png of one bit": saved(gradient().convert("1"), "PNG"),
    "grey png": saved(gradient().convert("L"), "PNG"),
    "webp": saved(gradient(), "WEBP"),
    "lossless webp": saved(gradient(), "WEBP", lossless=True),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_those_of_another_reader(kind: str) -> None:
    picture = decode_whole(KINDS[kind])
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert picture.alpha is None
    assert (picture.width, picture.height) == (60, 40)
    assert np.abs(picture.pixels.astype(int) - oracle(KINDS[kind])).max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_only_a_file_of_one_channel_is_grey(kind: str) -> None:
    assert decode_whole(KINDS[kind]).grey == (kind in ("grey jpeg", "grey png", "png of one bit"))


def test_a_grey_file_with_alpha_is_grey() -> None:
    image = gradient().convert("L")
    image.putalpha(7)
    assert decode_whole(saved(image, "PNG")).grey


def test_cmyk_keeps_its_colours() -> None:
    # JPEGs of four channels are stored inverted (Adobe); read naively the picture is a negative.
    for colour in ((230, 30, 40), (20, 200, 60), (30, 60, 220), (250, 250, 250), (10, 10, 10)):
        data = saved(Image.new("RGB", (32, 32), colour).convert("CMYK"), "JPEG", quality=98)
        assert np.abs(decode_whole(data).pixels.astype(int) - np.array(colour[::-1])).max() <= 3


@pytest.mark.parametrize("mode", ["RGBA", "LA", "tRNS"])
def test_alpha_is_kept_apart(mode: str) -> None:
    alpha = np.add.outer(np.arange(40), np.arange(60) * 2).astype(np.uint8)
    if mode == "tRNS":
        image = gradient().quantize(16)
        data = saved(image, "PNG", transparency=3)
        alpha = np.where(np.asarray(image) == 3, 0, 255).astype(np.uint8)
    else:
        image = gradient().convert("L" if mode == "LA" else "RGB")
        image.putalpha(Image.fromarray(alpha))
        data = saved(image, "PNG")
    picture = decode_whole(data)
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert picture.pixels.shape == (40, 60, 3)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_become_8(channels: int) -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, (8, 9, channels), np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", 9, 8, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    picture = decode_whole(png((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")))
    expected = (values >> 8).astype(int)
    assert np.array_equal(picture.pixels[:, :, ::-1], np.broadcast_to(expected[:, :, :3], (8, 9, 3)))
    if channels == 4:
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha, expected[:, :, 3])


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_grey_level_that_is_transparent_is_alpha(bits: int) -> None:
    steps = min(1 << bits, 16)
    levels = np.arange(64).reshape(4, 16) % steps * ((1 << bits) // steps)
    if bits == 16:
        levels[0, 3] += 1  # the same in 8 bits, and not transparent
    packed = ["".join(f"{level:0{bits}b}" for level in row) for row in levels]
    rows = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in packed)
    header = (b"IHDR", struct.pack(">IIBBBBB", 16, 4, bits, 0, 0, 0, 0))
    key = int(levels[1, 3])
    data = png(header, (b"tRNS", struct.pack(">H", key)), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))

    picture = decode_whole(data)

    assert picture.alpha is not None
    assert picture.grey
    assert np.array_equal(picture.alpha == 0, levels == key)
    assert set(np.unique(picture.alpha)) == {0, 255}
    expected = levels >> 8 if bits == 16 else levels * 255 // ((1 << bits) - 1)
    assert np.array_equal(picture.pixels[levels != key], np.repeat(expected[levels != key, None], 3, 1))


@pytest.mark.parametrize("chunk", [b"", b"\0", b"\0\0\0", b"\xff\xff"])
def test_a_transparent_level_that_no_pixel_has_hides_nothing(chunk: bytes) -> None:
    header = (b"IHDR", struct.pack(">IIBBBBB", 2, 1, 8, 0, 0, 0, 0))
    data = png(header, (b"tRNS", chunk), (b"IDAT", zlib.compress(b"\0\5\6")), (b"IEND", b""))
    picture = decode_whole(data)
    assert picture.alpha is None or picture.alpha.all()
    assert picture.pixels[0, :, 0].tolist() == [5, 6]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, object] = {"quality": 95} if format == "JPEG" else {"lossless": True}
    data = saved(gradient(), format, exif=exif, **options)
    picture = decode_whole(data)
    assert np.abs(picture.pixels.astype(int) - oracle(data)).max() <= 1
    assert (picture.width > picture.height) == (orientation <= 4)


def test_alpha_turns_with_its_picture() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = gradient()
    image.putalpha(image.convert("L"))
    data = saved(image, "PNG", exif=exif)
    picture = decode_whole(data)
    assert picture.alpha is not None
    with Image.open(io.BytesIO(data)) as image:
        assert np.array_equal(picture.alpha, np.asarray(ImageOps.exif_transpose(image))[:, :, 3])


@pytest.mark.parametrize("value", [0, 9, 255, 65535])
def test_an_orientation_that_makes_no_sense_is_none(value: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = value
    assert probe(saved(gradient(), "JPEG", exif=exif)).orientation == 1


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    framed = (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


def bomb(width: int, height: int) -> bytes:
    """A few kilobytes that say they are a picture of that size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b""))


def test_a_picture_of_100_megapixels_is_refused_by_its_header() -> None:
    with pytest.raises(PictureTooLarge, match="10000 x 10000"):
        decode(bomb(10_000, 10_000), HUGE, 40_000_000)


def test_a_bomb_in_every_format_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    jpeg = bytearray(KINDS["jpeg"])
    at = jpeg.find(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = struct.pack(">HH", 65_000, 65_000)
    webp = bytearray(KINDS["webp"])
    at = webp.find(b"\x9d\x01\x2a")
    webp[at + 3 : at + 7] = struct.pack("<HH", 16_383, 16_383)
    for data in (bomb(2**31 - 1, 2**31 - 1), bytes(jpeg), bytes(webp)):
        with pytest.raises(PictureTooLarge):
            decode(data, HUGE, 40_000_000)


def test_16_bits_count_twice() -> None:
    header = struct.pack(">IIBBBBB", 100, 100, 16, 0, 0, 0, 0)
    data = png((b"IHDR", header), (b"IDAT", zlib.compress(bytes(201 * 100))), (b"IEND", b""))
    decode(data, HUGE, 20_000)
    with pytest.raises(PictureTooLarge):
        decode(data, HUGE, 19_999)


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(PictureTooLarge):
        decode(KINDS["png"], len(KINDS["png"]) - 1, HUGE)


def test_one_pixel_is_a_picture() -> None:
    for format in ("JPEG", "PNG", "WEBP"):
        assert decode_whole(saved(Image.new("RGB", (1, 1), (255, 0, 0)), format)).pixels.shape == (1, 1, 3)


OTHERS = {
    "GIF": saved(gradient().quantize(8), "GIF"),
    "BMP": saved(gradient(), "BMP"),
    "TIFF": saved(gradient(), "TIFF"),
    "AVIF": saved(gradient(), "AVIF"),
    "SVG": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>',
    "bare SVG": b"  <svg/>",
    "HEIC": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "PDF": b"%PDF-1.7",
    "text": b"hello",
    "zip": b"PK\3\4",
    "one byte": b"\xff",
    "animated WebP": saved(gradient(), "WEBP", save_all=True, append_images=[gradient().rotate(180)]),
    "animated PNG": saved(gradient(), "PNG", save_all=True, append_images=[gradient().rotate(180)]),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds_are_refused_with_what_to_send(kind: str) -> None:
    with pytest.raises(UnsupportedPicture, match="Send"):
        decode_whole(OTHERS[kind])


def test_no_bytes_are_unreadable() -> None:
    with pytest.raises(UnreadablePicture):
        decode_whole(b"")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_cut_short_anywhere_is_told(kind: str) -> None:
    data = KINDS[kind]
    last = 20 if "jpeg" in kind else 1  # a JPEG may lack its end mark
    for end in {3, 8, 12, 20, 40, len(data) // 3, len(data) // 2, len(data) - 20, len(data) - last}:
        with pytest.raises(ColdswapError) as raised:
            decode_whole(data[:end])
        assert raised.value.code in ("unreadable_picture", "unsupported_picture")


@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
@settings(max_examples=400)
def test_flipped_bits_give_a_picture_or_an_error_of_the_family(kind: str, data: st.DataObject) -> None:
    broken = bytearray(KINDS[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(0, len(broken) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        picture = decode(bytes(broken), HUGE, 4_000_000)
    except (PictureTooLarge, UnreadablePicture, UnsupportedPicture):
        return
    assert picture.width * picture.height <= 4_000_000


@given(
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\x40\0\0\0WEBP", b"GIF8"]),
    st.binary(max_size=300),
)
@settings(max_examples=400)
def test_any_bytes_give_an_error_of_the_family(start: bytes, rest: bytes) -> None:
    with pytest.raises(ColdswapError):
        decode_whole(start + rest)


JPEGS = [kind for kind in KINDS if "jpeg" in kind]
TRAILERS = {
    "nothing": b"",
    "half an end mark": b"\xff",
    "text": b"a trailer of a phone " * 50,
    "noise": np.random.default_rng(8).bytes(3000),
    "a lossless frame": b"\xff\xc3\0\x0b" + bytes(40),
}


@pytest.mark.parametrize("trailer", TRAILERS)
@pytest.mark.parametrize("kind", JPEGS)
def test_a_jpeg_without_an_end_mark_is_decoded_as_viewers_do(kind: str, trailer: str) -> None:
    whole = KINDS[kind]
    assert whole.endswith(b"\xff\xd9")
    picture = decode_whole(whole[:-2] + TRAILERS[trailer])
    assert np.array_equal(picture.pixels, decode_whole(whole).pixels)


@pytest.mark.parametrize("kind", JPEGS)
def test_what_follows_the_end_of_a_jpeg_is_not_looked_at(kind: str) -> None:
    for trailer in (*TRAILERS.values(), KINDS["jpeg"]):  # a second picture, as in MPF
        assert np.array_equal(decode_whole(KINDS[kind] + trailer).pixels, decode_whole(KINDS[kind]).pixels)


@pytest.mark.parametrize("share", [0.2, 0.6])
@pytest.mark.parametrize("rest", [b"", b"\xff", b"a trailer", b"\xff\xfe\0\5abc"])
@pytest.mark.parametrize("kind", JPEGS)
def test_missing_rows_are_an_error_and_not_grey(kind: str, rest: bytes, share: float) -> None:
    data = KINDS[kind]
    start = data.rfind(b"\xff\xda")
    with pytest.raises(UnreadablePicture, match="truncated"):
        decode_whole(data[: start + int(share * (len(data) - start))] + rest)


def test_a_progressive_jpeg_without_its_last_scans_is_truncated() -> None:
    data = KINDS["progressive jpeg"]
    scan = data.find(b"\xff\xda") + 1
    while (scan := data.find(b"\xff\xda", scan) + 1) > 0:
        with pytest.raises(UnreadablePicture, match="truncated"):
            decode_whole(data[: scan - 1])


def test_the_first_of_two_orientations_counts() -> None:
    first, second = Image.Exif(), Image.Exif()
    first[0x0112], second[0x0112] = 6, 3
    segments = [b"\xff\xe1" + struct.pack(">H", len(exif.tobytes()) + 2) + exif.tobytes() for exif in (first, second)]
    data = KINDS["jpeg"][:2] + b"".join(segments) + KINDS["jpeg"][2:]
    assert probe(data).orientation == 6


def break_chunk(data: bytes, kind: bytes) -> bytes:
    at = data.find(kind)
    (length,) = struct.unpack_from(">I", data, at - 4)
    return data[: at + 4 + length] + b"oops" + data[at + 8 + length :]


PNG_PARTS = (
    (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 8, 3, 0, 0, 0)),
    (b"tEXt", b"Comment\0hello"),
    (b"eXIf", b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"),
    (b"PLTE", bytes(range(0, 120, 10))),
    (b"tRNS", b"\x80"),
    (b"IDAT", zlib.compress(b"\0\0\1\2\3" * 4)),
    (b"tIME", bytes(7)),
    (b"IEND", b""),
)


@pytest.mark.parametrize("kind", [b"tEXt", b"eXIf", b"tIME"])
def test_a_broken_chunk_that_changes_no_pixel_is_passed_over(kind: bytes) -> None:
    whole = png(*PNG_PARTS)
    picture = decode_whole(break_chunk(whole, kind))
    expected = decode_whole(png(*(part for part in PNG_PARTS if part[0] != kind)))
    assert np.array_equal(picture.pixels, expected.pixels)
    assert picture.alpha is not None


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"])
def test_a_broken_chunk_of_pixels_is_an_error(kind: bytes) -> None:
    with pytest.raises(UnreadablePicture):
        decode_whole(break_chunk(png(*PNG_PARTS), kind))


def test_a_png_whose_checksum_is_wrong_is_unreadable() -> None:
    broken = bytearray(KINDS["png"])
    broken[broken.find(b"IDAT") + 20] ^= 1
    with pytest.raises(UnreadablePicture, match="checksum"):
        decode_whole(bytes(broken))


def test_what_lies_beneath_transparency_is_not_read() -> None:
    alpha = np.zeros((40, 60), np.uint8)
    alpha[:, 30:] = 255
    pixels = np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.dstack((pixels[:, :, ::-1], alpha)), "RGBA").save(file, "PNG")

    picture = decode(file.getvalue(), 100_000, 10_000)

    assert (picture.pixels[:, :30] == NEUTRAL).all()
    assert np.array_equal(picture.pixels[:, 30:], pixels[:, 30:])
    assert picture.as_seen() is picture.pixels


def test_what_is_translucent_is_looked_at_over_a_neutral_ground() -> None:
    pixels, alpha = np.full((4, 6, 3), 200, np.uint8), np.full((4, 6), 128, np.uint8)

    seen = Picture(pixels, alpha, "", "png").as_seen()

    assert np.abs(seen.astype(int) - (200 * 128 + NEUTRAL * 127) // 255).max() <= 1
    assert (pixels == 200).all(), "the picture itself stays as it is"
