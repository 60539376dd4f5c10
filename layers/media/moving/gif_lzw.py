"""Packs the pixels of a GIF image, by the LZW of OpenCV's TIFF writer; unpacks those that OpenCV's reader refuses.

TIFF and GIF have the same codes in another order of bits, and TIFF widens its codes one code sooner (TIFF 6.0, section
13; GIF89a, appendix F). So the work is done in C, and only the codes are laid out anew, several times as fast
as a loop in Python.
"""

from __future__ import annotations

import struct

import numpy as np
from numpy.typing import NDArray

from layers.media.picture import Pixels

_CLEAR, _END = 256, 257
_TABLE_CODES = 4096  # between two clear codes at most
_TIFF_LZW, _NO_PREDICTOR = 5, 1
_STRIP_OFFSETS, _STRIP_BYTES = 273, 279  # TIFF's tags
_CODE_SIZE = 8
_CODE_SIZES = range(1, 12)
_MAX_WIDTH = 12
_SUB_BLOCK = 255


def _widths(late: int) -> NDArray[np.int32]:
    """Bits of each code after a clear code, in order; GIF widens its codes `late` by one."""
    position = np.arange(_TABLE_CODES)
    entries = 258 + position - late  # in the table when the code is written
    return (9 + np.searchsorted((512, 1024, 2048), entries, side="right")).astype(np.int32)


_TIFF_WIDTHS, _GIF_WIDTHS = _widths(0), _widths(1)
_TIFF_STARTS = np.concatenate(([0], np.cumsum(_TIFF_WIDTHS))).astype(np.int32)


def pack(indices: Pixels) -> bytes:
    """The image data of a GIF for uint8 [h, w]: the code size, sub-blocks, and their end."""
    codes, widths = _read_codes(_write_tiff_strip(indices))
    packed = _write_bits(codes, widths)
    whole = len(packed) // _SUB_BLOCK * _SUB_BLOCK
    blocks = np.full((whole // _SUB_BLOCK, 1 + _SUB_BLOCK), _SUB_BLOCK, np.uint8)
    blocks[:, 1:] = np.frombuffer(packed, np.uint8, whole).reshape(-1, _SUB_BLOCK)
    rest = packed[whole:]
    return bytes([_CODE_SIZE]) + blocks.tobytes() + (bytes([len(rest)]) + rest if rest else b"") + b"\0"


def unpack_any(data: memoryview, size: int) -> bytes:
    """At most `size` pixels of an image's data: all up to where it ends or breaks. Takes 0.2 µs a byte or so."""
    code_size = data[0]
    if code_size not in _CODE_SIZES:
        return b""
    clear, end = 1 << code_size, (1 << code_size) + 1
    roots = [bytes([index & 0xFF]) for index in range(clear)] + [b"", b""]
    table, width, last = roots[:], code_size + 1, b""
    bits = bit_count = total = 0
    pixels: list[bytes] = []
    for byte in _join_sub_blocks(data):
        bits |= byte << bit_count
        bit_count += 8
        while bit_count >= width:
            code = bits & (1 << width) - 1
            bits >>= width
            bit_count -= width
            if code == clear:
                table, width, last = roots[:], code_size + 1, b""
                continue
            if code == end or code > len(table) or (code == len(table) and not last):
                return b"".join(pixels)
            entry = table[code] if code < len(table) else last + last[:1]
            pixels.append(entry)
            total += len(entry)
            if total >= size:
                return b"".join(pixels)[:size]
            if last and len(table) < _TABLE_CODES:
                table.append(last + entry[:1])
                width += len(table) == 1 << width and width < _MAX_WIDTH
            last = entry
    return b"".join(pixels)


def _join_sub_blocks(data: memoryview) -> bytes:
    parts, at = [], 1
    while at < len(data) and data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]])
        at += 1 + data[at]
    return b"".join(parts)


def _write_tiff_strip(indices: Pixels) -> bytes:
    """The LZW data of a TIFF, all of it in one strip."""
    import cv2

    options = [
        *(cv2.IMWRITE_TIFF_COMPRESSION, _TIFF_LZW, cv2.IMWRITE_TIFF_PREDICTOR, _NO_PREDICTOR),
        *(cv2.IMWRITE_TIFF_ROWSPERSTRIP, indices.shape[0]),
    ]
    success, encoded = cv2.imencode(".tiff", indices, options)
    if not success:
        raise ValueError(f"OpenCV could not pack {indices.shape}")
    tiff = encoded.tobytes()
    (at,) = struct.unpack_from("<I", tiff, 4)
    (entries,) = struct.unpack_from("<H", tiff, at)
    fields = {}
    for number in range(entries):
        tag, kind, _, value = struct.unpack_from("<HHII", tiff, at + 2 + 12 * number)
        fields[tag] = value if kind == 4 else value & 0xFFFF
    start = fields[_STRIP_OFFSETS]
    return tiff[start : start + fields[_STRIP_BYTES]]


def _read_codes(strip: bytes) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """All codes of a TIFF's strip, and the widths that they have in a GIF."""
    data = np.frombuffer(strip + bytes(8), np.uint8).astype(np.int32)
    codes: list[NDArray[np.int32]] = []
    widths: list[NDArray[np.int32]] = []
    bit, ended = 9, False  # behind the clear code at the beginning
    while not ended:
        count = min(_TABLE_CODES, int(np.searchsorted(_TIFF_STARTS, len(strip) * 8 - bit, side="right")) - 1)
        starts, width = bit + _TIFF_STARTS[:count], _TIFF_WIDTHS[:count]
        byte = starts >> 3
        window = data[byte] << 16 | data[byte + 1] << 8 | data[byte + 2]
        segment = window >> (24 - (starts & 7) - width) & ((1 << width) - 1)
        marks = np.flatnonzero((segment == _CLEAR) | (segment == _END))
        if not len(marks):
            raise ValueError("a strip without an end")
        length = int(marks[0]) + 1
        ended = bool(segment[length - 1] == _END)
        codes.append(segment[:length])
        widths.append(_GIF_WIDTHS[:length])
        bit += int(_TIFF_STARTS[length])
    first = np.array([_CLEAR], np.int32), np.array([9], np.int32)
    return np.concatenate((first[0], *codes)), np.concatenate((first[1], *widths))


def _write_bits(codes: NDArray[np.int32], widths: NDArray[np.int32]) -> bytes:
    """Lay codes out one after the other, the lowest bit first."""
    ends = np.cumsum(widths, dtype=np.int64)
    starts = ends - widths
    byte, shifted = starts >> 3, codes << (starts & 7).astype(np.int32)
    size = int(ends[-1] + 7) // 8
    packed = np.zeros(size + 3, np.uint8)
    # Every code is longer than a byte, so no two begin in the same one, and no bits overlap: sums are unions.
    for part in range(3):
        packed[byte + part] += (shifted >> 8 * part).astype(np.uint8)
    return packed[:size].tobytes()
