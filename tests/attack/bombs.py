"""Pictures that are small as files and enormous, endless or crooked once somebody decodes them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

SIDE = 65_535


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(
    width: int, height: int, *, bits: int = 8, colour: int = 2, interlace: int = 0, rows: int = 8, extra: bytes = b""
) -> bytes:
    """A PNG that claims that size and holds zeros for a few rows; `extra` stands between header and pixels."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace)
    line = bytes(1 + min(width, 1 << 20) * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour] * max(bits, 8) // 8)
    pixels = zlib.compress(line * min(rows, max(1, height)), 9)
    chunks = [png_chunk(b"IHDR", header), extra, png_chunk(b"IDAT", pixels), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@cache
def flat(value: int, megabytes: int) -> bytes:
    """zlib's stream of that many megabytes of one byte."""
    packer = zlib.compressobj(9)
    piece = bytes([value]) * (1 << 20)
    return b"".join(packer.compress(piece) for _ in range(megabytes)) + packer.flush()


def jpeg_segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(side: int = 64) -> bytes:
    return bytes(cv2.imencode(".jpg", np.full((side, side, 3), 90, np.uint8))[1])


def resized_jpeg(width: int, height: int) -> bytes:
    """A small picture's data under a frame header of that size."""
    data = bytearray(jpeg())
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def many_scans(count: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last scan comes again and again, a few bytes each, and each a pass over the picture."""
    pixels = np.full((side, side, 3), 90, np.uint8)
    data = bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    last = data.rindex(b"\xff\xda")
    return data[:last] + data[last:-2] * count + b"\xff\xd9"


def exif(entries: bytes, at: int = 8) -> bytes:
    return b"Exif\0\0II*\0" + struct.pack("<I", at) + entries


def webp_chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) & 1)


def webp(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vp8l(width: int, height: int) -> bytes:
    """A lossless frame of one colour: five bits of codes for any size."""
    return webp_chunk(b"VP8L", b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + b"\x88\x88\x08\0" * 4)


def vp8(width: int, height: int) -> bytes:
    return webp_chunk(b"VP8 ", b"\x10\x02\0\x9d\x01\x2a" + struct.pack("<HH", width, height) + bytes(64))


def vp8x(flags: int, width: int, height: int) -> bytes:
    sizes = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return webp_chunk(b"VP8X", struct.pack("<I", flags) + sizes)


def tiff(tag_count: int) -> bytes:
    return b"II*\0\x08\0\0\0" + struct.pack("<H", tag_count) + bytes(12)


BMP = b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0)
GIF = (
    b"GIF89a"
    + struct.pack("<HHBBB", SIDE, SIDE, 0x80, 0, 0)
    + bytes(6)
    + b"\x2c"
    + struct.pack("<HHHHB", 0, 0, SIDE, SIDE, 0)
)
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="999999" height="999999"/>'
LAUGHS = b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "ha">' + b"".join(
    f'<!ENTITY {chr(98 + n)} "{f"&{chr(97 + n)};" * 10}">'.encode() for n in range(9)
)
MOVING = b'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="file:///etc/passwd"/></svg>'
ITXT = b"XML:com.adobe.xmp\0\x01\0\0\0"

# Made when asked for: some take a while, or much memory.
BOMBS: dict[str, Callable[[], bytes]] = {
    # PNG (W3C, third edition)
    "png-gigapixels": lambda: png(SIDE, SIDE),
    "png-largest": lambda: png((1 << 31) - 1, (1 << 31) - 1),
    "png-overflow": lambda: png(1 << 16, 1 << 16),
    "png-negative": lambda: png(0xFFFFFFFF, 0xFFFFFFFF),
    "png-zero": lambda: png(0, 0),
    "png-zero-wide": lambda: png(0, 9),
    "png-one-row": lambda: png((1 << 31) - 1, 1),
    "png-one-column": lambda: png(1, (1 << 31) - 1),
    "png-just-over": lambda: png(6325, 6325),
    "png-sixteen-bits": lambda: png(5000, 5000, bits=16),
    "png-interlaced": lambda: png(30_000, 30_000, interlace=1),
    "png-one-bit": lambda: png(SIDE, SIDE, bits=1, colour=0),
    "png-grey-alpha": lambda: png(30_000, 30_000, colour=4),
    "png-rgba": lambda: png(30_000, 30_000, colour=6),
    "png-palette-missing": lambda: png(64, 64, colour=3),
    "png-bad-bits": lambda: png(64, 64, bits=7),
    "png-bad-interlace": lambda: png(64, 64, interlace=9),
    "png-pixels-too-many": lambda: (
        png(8, 8).partition(b"\0\0\0")[0]
        + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
        + png_chunk(b"IDAT", flat(0, 60))
        + png_chunk(b"IEND", b"")
    ),
    "png-text-of-megabytes": lambda: png(64, 64, rows=64, extra=png_chunk(b"zTXt", b"a\0\0" + flat(65, 60))),
    "png-international-text": lambda: png(64, 64, rows=64, extra=png_chunk(b"iTXt", ITXT + flat(65, 60))),
    "png-profile-of-megabytes": lambda: png(64, 64, rows=64, extra=png_chunk(b"iCCP", b"a\0\0" + flat(65, 60))),
    "png-many-chunks": lambda: png(64, 64, rows=64, extra=png_chunk(b"tEXt", b"a\0b") * 100_000),
    "png-many-profiles": lambda: png(64, 64, rows=64, extra=png_chunk(b"iCCP", b"a\0\0" + flat(65, 8)) * 20),
    "png-animated": lambda: png(64, 64, extra=png_chunk(b"acTL", struct.pack(">II", 1 << 30, 0))),
    "png-two-headers": lambda: png(8, 8, extra=png(SIDE, SIDE)[8:33]),
    "png-huge-chunk": lambda: b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 0xFFFFFFFF) + b"IHDR" + bytes(64),
    "png-no-end": lambda: png(64, 64)[:-12],
    "png-wrong-sum": lambda: png(64, 64)[:-20] + b"\0\0\0\0" + png(64, 64)[-16:],
    "png-exif-loop": lambda: png(64, 64, rows=64, extra=png_chunk(b"eXIf", b"II*\0\x08\0\0\0" + b"\xff" * 30)),
    # JPEG (ITU-T T.81)
    "jpeg-gigapixels": lambda: resized_jpeg(SIDE, SIDE),
    "jpeg-just-over": lambda: resized_jpeg(6325, 6325),
    "jpeg-no-height": lambda: resized_jpeg(64, 0),
    "jpeg-scans": lambda: many_scans(3000),
    "jpeg-scans-and-large": lambda: many_scans(3000, 6000),
    "jpeg-lossless": lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc3", 1),
    "jpeg-hierarchical": lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc5", 1),
    "jpeg-arithmetic": lambda: jpeg().replace(b"\xff\xc0", b"\xff\xc9", 1),
    "jpeg-twelve-bits": lambda: jpeg().replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c", 1),
    "jpeg-two-frames": lambda: jpeg()[:2] + resized_jpeg(SIDE, SIDE)[20:] + jpeg()[2:],
    "jpeg-many-segments": lambda: jpeg()[:2] + jpeg_segment(0xFE, b"") * 1_000_000 + jpeg()[2:],
    "jpeg-fill": lambda: jpeg()[:2] + b"\xff" * 5_000_000 + jpeg()[2:],
    "jpeg-profile-parts": lambda: (
        jpeg()[:2] + jpeg_segment(0xE2, b"ICC_PROFILE\0\x01\xff" + bytes(60_000)) * 255 + jpeg()[2:]
    ),
    "jpeg-exif-loop": lambda: jpeg()[:2] + jpeg_segment(0xE1, exif(b"\xff" * 300)) + jpeg()[2:],
    "jpeg-exif-far": lambda: jpeg()[:2] + jpeg_segment(0xE1, exif(b"", 0xFFFFFFFF)) + jpeg()[2:],
    "jpeg-many-exif": lambda: jpeg()[:2] + jpeg_segment(0xE1, exif(b"\xff\xff" * 30_000)) * 300 + jpeg()[2:],
    "jpeg-short-segment": lambda: jpeg()[:2] + b"\xff\xfe\0\0" + jpeg()[2:],
    "jpeg-long-segment": lambda: jpeg()[:2] + b"\xff\xfe\xff\xff",
    "jpeg-restarts": lambda: jpeg()[:-2] + b"\xff\xd0" * 2_000_000 + b"\xff\xd9",
    "jpeg-no-end": lambda: jpeg()[:-2] + bytes(1 << 20),
    "jpeg-tables": lambda: jpeg()[:2] + jpeg_segment(0xC4, b"\0" + b"\xff" * 16 + bytes(4080)) + jpeg()[2:],
    "jpeg-start-alone": lambda: b"\xff\xd8\xff",
    # WebP (RFC 9649)
    "webp-largest": lambda: webp(vp8l(16_384, 16_384)),
    "webp-lossy-largest": lambda: webp(vp8(16_383, 16_383)),
    "webp-just-over": lambda: webp(vp8l(6325, 6325)),
    "webp-canvas": lambda: webp(vp8x(0, 1 << 24, 1 << 24), vp8l(8, 8)),
    "webp-canvas-small": lambda: webp(vp8x(0, 8, 8), vp8l(16_384, 16_384)),
    "webp-two-frames": lambda: webp(vp8l(8, 8), vp8l(16_384, 16_384)),
    "webp-animated": lambda: webp(vp8x(2, 8, 8), webp_chunk(b"ANIM", bytes(6)), vp8l(8, 8)),
    "webp-many-chunks": lambda: webp(vp8l(8, 8), webp_chunk(b"JUNK", b"") * 1_000_000),
    "webp-many-exif": lambda: webp(vp8l(8, 8), webp_chunk(b"EXIF", exif(b"\xff\xff" * 30_000)) * 300),
    "webp-no-frame": lambda: webp(vp8x(0, 8, 8)),
    "webp-long": lambda: b"RIFF\xff\xff\xff\xffWEBP" + vp8l(8, 8),
    "webp-long-chunk": lambda: webp(b"VP8L\xff\xff\xff\xff"),
    "webp-empty": lambda: webp(),
    "webp-alpha-huge": lambda: webp(vp8x(16, 16_383, 16_383), webp_chunk(b"ALPH", bytes(9)), vp8(16_383, 16_383)),
    # what is not taken at all
    "gif": lambda: GIF,
    "gif-alone": lambda: b"GIF87a",
    "bmp": lambda: BMP,
    "tiff": lambda: tiff(65_535),
    "tiff-big": lambda: b"II+\0\x08\0\0\0" + bytes(99),
    "svg": lambda: SVG,
    "svg-laughs": lambda: LAUGHS + b"]><svg>&j;</svg>",
    "svg-file": lambda: MOVING,
    "svg-after-blanks": lambda: b" \r\n\t" * 1_000_000 + SVG,
    "svgz": lambda: b"\x1f\x8b\x08" + bytes(99),
    "xml": lambda: b"<?xml version='1.0'?>",
    "html": lambda: b"<html><img src='https://127.0.0.1/'>",
    "postscript": lambda: b"%!PS\n(%pipe%id) (r) file",
    "pdf": lambda: b"%PDF-1.7\n/URI (https://127.0.0.1/)",
    "magick": lambda: b"push graphic-context\nviewbox 0 0 640 480\nimage over 0,0 0,0 'https://127.0.0.1/'",
    "xpm": lambda: b'/* XPM */ static char *a[] = {"99999 99999 1 1"};',
    "pnm": lambda: b"P6 99999 99999 255\n",
    "pfm": lambda: b"PF\n99999 99999\n-1.0\n",
    "hdr": lambda: b"#?RADIANCE\n\n-Y 99999 +X 99999\n",
    "exr": lambda: b"\x76\x2f\x31\x01" + bytes(99),
    "jp2": lambda: b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(99),
    "j2k": lambda: b"\xff\x4f\xff\x51" + bytes(99),
    "jxl": lambda: b"\xff\x0a" + bytes(99),
    "jxl-box": lambda: b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(99),
    "avif": lambda: b"\0\0\0\x1cftypavif" + bytes(99),
    "heic": lambda: b"\0\0\0\x1cftypheic" + bytes(99),
    "mp4": lambda: b"\0\0\0\x1cftypisom" + bytes(99),
    "ico": lambda: b"\0\0\1\0\1\0" + bytes(99),
    "sun": lambda: b"\x59\xa6\x6a\x95" + b"\xff" * 99,
    "psd": lambda: b"8BPS\0\1" + bytes(99),
    "dicom": lambda: bytes(128) + b"DICM",
    "zip": lambda: b"PK\x03\x04" + bytes(99),
    "elf": lambda: b"\x7fELF" + bytes(99),
    "empty": lambda: b"",
    "null": lambda: b"\0",
    "zeros": lambda: bytes(20 << 20),
    "noise": lambda: np.random.default_rng(0).bytes(1 << 20),
    "text": lambda: b"not a picture " * 99,
    # one file that is two
    "jpeg-and-zip": lambda: jpeg() + b"PK\x05\x06" + bytes(18),
    "png-and-html": lambda: png(64, 64, rows=64) + b"<script>alert(1)</script>" * 999,
    "jpeg-in-png": lambda: b"\x89PNG\r\n\x1a\n" + jpeg(),
    "png-in-jpeg": lambda: b"\xff\xd8\xff" + png(SIDE, SIDE),
    "png-in-webp": lambda: webp(webp_chunk(b"VP8L", png(SIDE, SIDE))),
    "jpeg-twice": lambda: jpeg() + resized_jpeg(SIDE, SIDE),
}
