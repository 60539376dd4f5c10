"""Reads an animated WebP: its structure without decoding, and its frames as browsers show them (RFC 9649)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from layers.core.errors import ColdswapError, UnreadablePicture
from layers.media.decode import decode
from layers.media.metadata import frame_webp_chunk
from layers.media.moving.description import Frame, Limits, MovingPicture
from layers.media.moving.gif_blocks import Buffer
from layers.media.picture import Pixels
from layers.media.webp_header import webp_frame_size

_ANIMATION, _ALPHA = 0x02, 0x10  # flags of VP8X
_MAX_CHUNKS = 20_000
_MS = 1000


@dataclass(frozen=True)
class WebpImage:
    """One frame of the file: its place on the canvas in pixels, and where its chunks lie."""

    x: int
    y: int
    width: int
    height: int
    delay: int  # milliseconds
    blends: bool
    clears: bool  # once it has been shown
    alpha: bool
    lossless: bool
    data: tuple[int, int]


@dataclass(frozen=True)
class WebpFile:
    """The structure of an animated WebP."""

    width: int
    height: int
    loop: int  # raw: 0 is for ever
    images: tuple[WebpImage, ...]
    truncated: bool


def read_webp(data: Buffer, limits: Limits) -> WebpFile:
    """Read the structure. Raises UnreadablePicture, or PictureTooLarge before anything is decoded."""
    limits.check_bytes(len(data))
    view = memoryview(data)
    size, loop, work = (0, 0), 1, 0
    images: list[WebpImage] = []
    truncated = False
    for kind, start, end in _chunks(view, 12, min(len(view), 8 + struct.unpack_from("<I", view, 4)[0])):
        body = view[start:end]
        if end > len(view):
            truncated = True
        elif kind == b"VP8X" and len(body) >= 10 and not any(size):
            size = _uint24(body, 4) + 1, _uint24(body, 7) + 1
            limits.check_canvas(*size)
        elif kind == b"ANIM" and len(body) >= 6:
            (loop,) = struct.unpack_from("<H", body, 4)
        elif kind == b"ANMF" and len(body) >= 16:
            image = _parse_image(body, start)
            if image is None or image.x + image.width > size[0] or image.y + image.height > size[1]:
                raise UnreadablePicture("The WebP is damaged: a frame does not fit its canvas.")
            images.append(image)
            limits.check_frames(len(images))
            work += size[0] * size[1]
            limits.check_work(work)
    if not images:
        raise UnreadablePicture("The WebP is truncated or damaged: it holds no whole frame.")
    truncated |= struct.unpack_from("<I", view, 4)[0] + 8 > len(view)
    return WebpFile(*size, loop, tuple(images), truncated)


def describe_webp(file: WebpFile, size: int, limits: Limits) -> MovingPicture:
    """The description of a WebP of `size` bytes. Raises PictureTooLarge if it lasts too long."""
    delays = tuple(Fraction(_play_delay(image.delay), _MS) for image in file.images)
    if len(delays) > 1:
        limits.check_seconds(sum(delays))
    first = file.images[0]
    covered = (first.width, first.height) == (file.width, file.height)
    cleared = any(image.clears for image in file.images[:-1])
    return MovingPicture(
        kind="webp",
        width=file.width,
        height=file.height,
        bytes=size,
        frames=len(delays),
        seconds=sum(delays, Fraction(0)),
        delays=delays,
        raw_delays=tuple((image.delay, _MS) for image in file.images),
        loop=file.loop,
        plays=file.loop,
        alpha=not covered or cleared or any(image.alpha for image in file.images),
        lossless=all(image.lossless for image in file.images),
        notes=("truncated",) if file.truncated else (),
    )


def read_webp_frames(data: Buffer, file: WebpFile) -> Iterator[Frame]:
    """Yield the frames, uint8 BGRA [H, W, 4], one at a time. Ends before the first that cannot be decoded."""
    canvas = np.zeros((file.height, file.width, 4), np.uint8)
    last: Pixels | None = None
    start = Fraction(0)
    for number, image in enumerate(file.images):
        pixels = _decode_image(data, image)
        if pixels is None:
            return
        place = canvas[image.y : image.y + image.height, image.x : image.x + image.width]
        place[:] = _blend(pixels, place) if image.blends else pixels
        shown = canvas.copy()
        shown[shown[:, :, 3] == 0] = 0
        delay = Fraction(_play_delay(image.delay), _MS)
        yield Frame(number, shown, start, delay, last is not None and np.array_equal(shown, last))
        if image.clears:
            place[:] = 0
        start, last = start + delay, shown


def _play_delay(raw: int) -> int:
    """The milliseconds that browsers show a frame for; ten and fewer become a hundred."""
    return raw if raw > 10 else 100


def _chunks(view: memoryview, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, first byte and one past the last of each chunk, which may be beyond the end."""
    for _ in range(_MAX_CHUNKS):
        if at + 8 > end:
            return
        (length,) = struct.unpack_from("<I", view, at + 4)
        yield bytes(view[at : at + 4]), at + 8, at + 8 + length
        at += 8 + length + (length & 1)


def _parse_image(body: memoryview, start: int) -> WebpImage | None:
    """A frame by its chunk, which lies at `start` in the file; None if it holds no picture of its size."""
    alpha = False
    for kind, first, end in _chunks(body, 16, len(body)):
        alpha |= kind == b"ALPH"
        if kind in (b"VP8 ", b"VP8L") and end <= len(body):
            size = webp_frame_size(kind, body[first:end])
            if size != (_uint24(body, 6) + 1, _uint24(body, 9) + 1):
                return None
            return WebpImage(
                *(2 * _uint24(body, 0), 2 * _uint24(body, 3), *size),
                delay=_uint24(body, 12),
                blends=not body[15] & 2,
                clears=bool(body[15] & 1),
                alpha=alpha or (kind == b"VP8L" and bool(body[first + 4] & 0x10)),
                lossless=kind == b"VP8L",
                data=(start + 16, start + len(body)),
            )
    return None


def _decode_image(data: Buffer, image: WebpImage) -> Pixels | None:
    """One frame alone, uint8 BGRA [h, w, 4]; None if it cannot be decoded."""
    body = memoryview(data)[slice(*image.data)]
    parts: dict[bytes, bytes] = {}
    for kind, start, end in _chunks(body, 0, len(body)):
        if kind in (b"ALPH", b"VP8 ", b"VP8L"):
            parts.setdefault(kind, bytes(body[start:end]))
    if b"VP8L" in parts:
        parts.pop(b"ALPH", None)
    sizes = (image.width - 1).to_bytes(3, "little") + (image.height - 1).to_bytes(3, "little")
    flags = _ALPHA if image.alpha else 0
    chunks = [(b"VP8X", struct.pack("<I", flags) + sizes), *sorted(parts.items())]
    file = b"WEBP" + b"".join(frame_webp_chunk(*chunk) for chunk in chunks)
    return decode_still(b"RIFF" + struct.pack("<I", len(file)) + file, image.width, image.height)


def decode_still(data: bytes, width: int, height: int) -> Pixels | None:
    """A PNG or WebP of that size as uint8 BGRA [h, w, 4]; None if it is damaged."""
    try:
        picture = decode(data, len(data), 2 * width * height)
    except ColdswapError:
        return None
    if (picture.width, picture.height) != (width, height):
        return None
    alpha = picture.alpha if picture.alpha is not None else np.full((height, width), 255, np.uint8)
    return np.dstack((picture.pixels, alpha))


def _blend(above: Pixels, below: Pixels) -> Pixels:
    """One picture over another, as libwebp rounds it (src/demux/anim_decode.c, `BlendPixelNonPremult`)."""
    alpha = above[:, :, 3]
    blended = np.where((alpha == 0)[:, :, None], below, above)
    partly = (alpha > 0) & (alpha < 255)
    if partly.any():
        top, bottom = above[partly].astype(np.uint64), below[partly].astype(np.uint64)
        cover, rest = top[:, 3:], bottom[:, 3:] * (256 - top[:, 3:]) >> np.uint64(8)
        total = cover + rest
        scale = (1 << 24) // total
        blended[partly, :3] = (top[:, :3] * cover + bottom[:, :3] * rest) * scale >> np.uint64(24)
        blended[partly, 3] = total[:, 0]
    return blended


def _uint24(body: memoryview, at: int) -> int:
    return int.from_bytes(body[at : at + 3], "little")
