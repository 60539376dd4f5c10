"""Reads an APNG: its structure without decoding, and its frames as browsers show them (PNG, third edition)."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from layers.core.errors import PictureTooLarge, UnreadablePicture
from layers.media.formats import PNG_SIGNATURE
from layers.media.moving.description import Frame, Limits, MovingPicture
from layers.media.moving.gif_blocks import Buffer
from layers.media.moving.webp_frames import decode_still
from layers.media.picture import Pixels
from layers.media.png_header import frame_png_chunk

_MAX_CHUNKS = 1 << 17  # encoders cut pixels into pieces of 8 to 64 KB
_CLEAR, _RESTORE = 1, 2  # disposals
_SHOWN_BY_DECODERS = (b"PLTE", b"tRNS")  # what the pixels of each frame need beside their header
_ALPHA_TYPES = (4, 6)  # colour types


@dataclass
class ApngImage:
    """One frame of the file: its place on the canvas in pixels, and where the pieces of its pixels lie."""

    x: int
    y: int
    width: int
    height: int
    delay: tuple[int, int]  # seconds as the file says them: numerator and denominator
    disposal: int
    blends: bool
    pieces: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class ApngFile:
    """The structure of an APNG."""

    header: bytes  # the body of IHDR
    shared: tuple[tuple[bytes, bytes], ...]  # chunks that each frame needs
    loop: int  # raw: 0 is for ever
    images: tuple[ApngImage, ...]
    truncated: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        width, height = struct.unpack_from(">II", self.header)
        return width, height


def read_apng(data: Buffer, limits: Limits) -> ApngFile:
    """Read the structure. Raises UnreadablePicture, or PictureTooLarge before anything is decoded."""
    limits.check_bytes(len(data))
    view = memoryview(data)
    header, shared, loop = b"", [], 0
    images: list[ApngImage] = []
    whole = False
    for kind, start, end, intact in _chunks(view):
        if not intact:
            break
        body = view[start:end]
        if kind == b"IHDR" and len(body) == 13 and not header:
            header = bytes(body)
            limits.check_canvas(*struct.unpack_from(">II", header))
        elif kind == b"acTL" and len(body) == 8:
            (loop,) = struct.unpack_from(">I", body, 4)
        elif kind in _SHOWN_BY_DECODERS and not images:
            shared.append((kind, bytes(body)))
        elif kind == b"fcTL" and len(body) == 26 and header:
            images.append(_parse_image(body, header))
            limits.check_frames(len(images))
            limits.check_work(
                len(images) * struct.unpack_from(">I", header)[0] * struct.unpack_from(">I", header, 4)[0]
            )
        elif kind in (b"IDAT", b"fdAT") and images:
            images[-1].pieces.append((start + 4 * (kind == b"fdAT"), end))
        elif kind == b"IEND":
            whole = True
            break
    if not whole:
        images = images[:-1]  # its pixels may go on where the file ends
    images = [image for image in images if image.pieces]
    if not images:
        raise UnreadablePicture("The APNG is truncated or damaged: it holds no whole frame.")
    return ApngFile(header, tuple(shared), loop, tuple(images), truncated=not whole)


def describe_apng(file: ApngFile, size: int, limits: Limits) -> MovingPicture:
    """The description of an APNG of `size` bytes. Raises PictureTooLarge if it lasts too long."""
    delays = tuple(_play_delay(image.delay) for image in file.images)
    if len(delays) > 1:
        limits.check_seconds(sum(delays))
    clears = any(image.disposal == _CLEAR for image in file.images[:-1]) or file.images[0].disposal == _RESTORE
    return MovingPicture(
        kind="apng",
        width=file.size[0],
        height=file.size[1],
        bytes=size,
        frames=len(delays),
        seconds=sum(delays, Fraction(0)),
        delays=delays,
        raw_delays=tuple(image.delay for image in file.images),
        loop=file.loop,
        plays=file.loop,
        alpha=clears or file.header[9] in _ALPHA_TYPES or any(kind == b"tRNS" for kind, _ in file.shared),
        lossless=True,
        notes=("truncated",) if file.truncated else (),
    )


def read_apng_frames(data: Buffer, file: ApngFile) -> Iterator[Frame]:
    """Yield the frames, uint8 BGRA [H, W, 4], one at a time. Ends before the first that cannot be decoded."""
    width, height = file.size
    canvas = np.zeros((height, width, 4), np.uint8)
    last: Pixels | None = None
    start = Fraction(0)
    for number, image in enumerate(file.images):
        pixels = _decode_image(data, file, image)
        if pixels is None:
            return
        place = canvas[image.y : image.y + image.height, image.x : image.x + image.width]
        before = place.copy() if image.disposal == _RESTORE and number else None
        place[:] = _blend(pixels, place) if image.blends else pixels
        shown = canvas.copy()
        shown[shown[:, :, 3] == 0] = 0
        delay = _play_delay(image.delay)
        yield Frame(number, shown, start, delay, last is not None and np.array_equal(shown, last))
        if image.disposal in (_CLEAR, _RESTORE):
            place[:] = 0 if before is None else before
        start, last = start + delay, shown


def _play_delay(raw: tuple[int, int]) -> Fraction:
    """The seconds that browsers show a frame for: a hundredth and less become a tenth; a denominator of 0 is 100."""
    delay = Fraction(raw[0], raw[1] or 100)
    return delay if delay > Fraction(1, 100) else Fraction(1, 10)


def _chunks(view: memoryview) -> Iterator[tuple[bytes, int, int, bool]]:
    """Yield name, first byte, one past the last, and whether it is all there and its checksum right, of each chunk."""
    at = len(PNG_SIGNATURE)
    for _ in range(_MAX_CHUNKS):
        if at + 12 > len(view):
            return
        (length,) = struct.unpack_from(">I", view, at)
        end = at + 8 + length
        intact = end + 4 <= len(view) and zlib.crc32(view[at + 4 : end]) == struct.unpack_from(">I", view, end)[0]
        yield bytes(view[at + 4 : at + 8]), at + 8, end, intact
        at = end + 4
    raise PictureTooLarge("The APNG consists of far too many small chunks. Save it again with another program.")


def _parse_image(body: memoryview, header: bytes) -> ApngImage:
    _, width, height, x, y, numerator, denominator, disposal, blend = struct.unpack(">IIIIIHHBB", body)
    across, down = struct.unpack_from(">II", header)
    if not (width and height) or x + width > across or y + height > down:
        raise UnreadablePicture("The APNG is damaged: a frame does not fit its canvas.")
    return ApngImage(x, y, width, height, (numerator, denominator), disposal, blend == 1)


def _decode_image(data: Buffer, file: ApngFile, image: ApngImage) -> Pixels | None:
    """One frame alone, uint8 BGRA [h, w, 4]; None if it cannot be decoded."""
    view = memoryview(data)
    header = struct.pack(">II", image.width, image.height) + file.header[8:]
    pixels = b"".join(view[start:end] for start, end in image.pieces)
    chunks = [(b"IHDR", header), *file.shared, (b"IDAT", pixels), (b"IEND", b"")]
    png = PNG_SIGNATURE + b"".join(frame_png_chunk(kind, body) for kind, body in chunks)
    return decode_still(png, image.width, image.height)


def _blend(above: Pixels, below: Pixels) -> Pixels:
    """One picture over another, by the standard's own arithmetic."""
    alpha = above[:, :, 3]
    blended = np.where((alpha == 0)[:, :, None], below, above)
    partly = (alpha > 0) & (alpha < 255)
    if partly.any():
        top, bottom = above[partly].astype(np.uint32), below[partly].astype(np.uint32)
        cover, rest = top[:, 3:] * 255, (255 - top[:, 3:]) * bottom[:, 3:]
        blended[partly, :3] = (top[:, :3] * cover + bottom[:, :3] * rest) // (cover + rest)
        blended[partly, 3] = (cover + rest)[:, 0] // 255
    return blended
