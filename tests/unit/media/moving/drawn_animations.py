"""Tricky WebP and APNG animations from descriptions, and what a browser shows of them, worked out pixel by pixel."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from layers.media.picture import Pixels

Disposal = Literal["leave", "clear", "restore"]  # WebP has no "restore"

RED, BLUE, GREEN = (0, 0, 255, 255), (255, 0, 0, 255), (0, 255, 0, 255)  # BGRA
NOTHING, HALF_RED, FAINT_BLUE = (0, 0, 0, 0), (0, 0, 255, 128), (255, 0, 0, 40)


@dataclass(frozen=True)
class Layer:
    """One frame of the file: a rectangle of one colour with a hole of another in its middle."""

    color: tuple[int, int, int, int]
    x: int = 0
    y: int = 0
    width: int = 12
    height: int = 8
    hole: tuple[int, int, int, int] | None = None
    blends: bool = False
    disposal: Disposal = "leave"
    delay: tuple[int, int] = (1, 10)

    @property
    def pixels(self) -> Pixels:
        """BGRA."""
        pixels = np.full((self.height, self.width, 4), self.color, np.uint8)
        if self.hole is not None:
            pixels[self.height // 4 : self.height // 2, self.width // 4 : self.width // 2] = self.hole
        return pixels


WALL = Layer(RED)
SPRITE = Layer(BLUE, 2, 2, 6, 4, hole=NOTHING)

# A WebP has even places and does not restore; an APNG's first frame covers the canvas.
TRAPS: dict[str, tuple[Layer, ...]] = {
    "no blending writes holes": (WALL, SPRITE),
    "blending keeps what is under holes": (WALL, Layer(BLUE, 2, 2, 6, 4, hole=NOTHING, blends=True)),
    "cleared": (WALL, Layer(BLUE, 2, 2, 6, 4, disposal="clear"), Layer(GREEN, 8, 4, 2, 2, blends=True)),
    "the first is cleared": (Layer(RED, disposal="clear"), Layer(GREEN, 8, 4, 2, 2, blends=True), SPRITE),
    "translucent over opaque": (WALL, Layer(FAINT_BLUE, 2, 2, 8, 4, hole=HALF_RED, blends=True)),
    "translucent over translucent": (Layer(HALF_RED), Layer(FAINT_BLUE, 0, 2, 8, 4, blends=True), WALL),
    "the same again": (WALL, WALL, SPRITE, Layer(BLUE, 2, 2, 6, 4, hole=NOTHING)),
    "nothing at all": (Layer(NOTHING), Layer(NOTHING, blends=True), SPRITE),
}
RESTORED: dict[str, tuple[Layer, ...]] = {
    "restored": (WALL, Layer(BLUE, 2, 2, 6, 4, disposal="restore"), Layer(GREEN, 8, 4, 2, 2)),
    "restored twice": (
        WALL,
        Layer(BLUE, 2, 2, 6, 4, disposal="restore", blends=True),
        Layer(GREEN, 3, 3, 3, 3, disposal="restore"),
        Layer(HALF_RED, 0, 0, 3, 3, blends=True),
    ),
    "the first is restored, which clears": (Layer(RED, disposal="restore"), Layer(GREEN, 8, 4, 2, 2)),
}


def write_webp(layers: tuple[Layer, ...], loop: int = 0, width: int = 12, height: int = 8) -> bytes:
    """A lossless WebP of those frames."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = [_riff(b"VP8X", struct.pack("<I", 0x12) + size), _riff(b"ANIM", struct.pack("<IH", 0xFF00FF00, loop))]
    for layer in layers:
        options = [cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR]
        still = cv2.imencode(".webp", layer.pixels, options)[1].tobytes()
        start = still.index(b"VP8L")
        numbers = layer.x // 2, layer.y // 2, layer.width - 1, layer.height - 1
        delay = layer.delay[0] * 1000 // layer.delay[1]
        head = b"".join(number.to_bytes(3, "little") for number in (*numbers, delay))
        flags = (not layer.blends) << 1 | (layer.disposal == "clear")
        chunks.append(_riff(b"ANMF", head + bytes([flags]) + still[start:]))
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def write_apng(
    layers: tuple[Layer, ...], loop: int = 0, width: int = 12, height: int = 8, hidden: Layer | None = None
) -> bytes:
    """An APNG of those frames; `hidden`: a default picture that is no frame."""
    sequence = 0
    parts = [b"\x89PNG\r\n\x1a\n", png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))]
    parts.append(png_chunk(b"acTL", struct.pack(">II", len(layers), loop)))
    if hidden:
        parts.append(png_chunk(b"IDAT", _deflate(hidden.pixels)))
    for number, layer in enumerate(layers):
        disposal = ("leave", "clear", "restore").index(layer.disposal)
        place = layer.width, layer.height, layer.x, layer.y
        parts.append(
            png_chunk(b"fcTL", struct.pack(">IIIIIHHBB", sequence, *place, *layer.delay, disposal, layer.blends))
        )
        sequence += 1
        pixels = _deflate(layer.pixels)
        if number == 0 and not hidden:
            parts += [png_chunk(b"IDAT", pixels[:7]), png_chunk(b"IDAT", pixels[7:])]
            continue
        for piece in (pixels[:9], pixels[9:]):
            parts.append(png_chunk(b"fdAT", struct.pack(">I", sequence) + piece))
            sequence += 1
    return b"".join([*parts, png_chunk(b"IEND", b"")])


def show(layers: tuple[Layer, ...], width: int = 12, height: int = 8) -> list[Pixels]:
    """What a browser shows, BGRA; where it blends translucent pixels, to within one level."""
    screen = np.zeros((height, width, 4))
    frames = []
    for number, layer in enumerate(layers):
        before = screen.copy()
        place = screen[layer.y : layer.y + layer.height, layer.x : layer.x + layer.width]
        for y, x in np.ndindex(layer.height, layer.width):
            above, below = layer.pixels[y, x].astype(float), place[y, x].copy()
            place[y, x] = _over(above, below) if layer.blends else above
        shown = np.rint(screen).astype(np.uint8)
        shown[shown[:, :, 3] == 0] = 0
        frames.append(shown)
        if layer.disposal == "restore" and number:
            screen = before
        elif layer.disposal != "leave":
            place[:] = 0
    return frames


def _over(above: NDArray[np.float64], below: NDArray[np.float64]) -> NDArray[np.float64]:
    cover, rest = above[3] / 255, below[3] / 255 * (1 - above[3] / 255)
    if not cover + rest:
        return below * 0
    colors = (above[:3] * cover + below[:3] * rest) / (cover + rest)
    return np.append(colors, 255 * (cover + rest))


def _riff(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk of a PNG with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _deflate(pixels: Pixels) -> bytes:
    return zlib.compress(b"".join(b"\0" + row[:, [2, 1, 0, 3]].tobytes() for row in pixels))
