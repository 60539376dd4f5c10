"""EXIF 2.32: the one tag that changes what a viewer shows."""

from __future__ import annotations

import struct

_ORIENTATION_TAG = 0x0112


def read_orientation(exif: bytes | memoryview) -> int:
    """The orientation in a TIFF structure; 1, as every viewer assumes, where it is missing or not valid."""
    exif = bytes(exif[: 1 << 16])
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None or len(exif) < 8:
        return 1
    (at,) = struct.unpack_from(order + "I", exif, 4)
    if at + 2 > len(exif):
        return 1
    (count,) = struct.unpack_from(order + "H", exif, at)
    for entry in range(at + 2, min(at + 2 + 12 * count, len(exif) - 11), 12):
        tag, kind, values, value = struct.unpack_from(order + "HHIH", exif, entry)
        if tag == _ORIENTATION_TAG:
            return value if kind == 3 and values == 1 and 1 <= value <= 8 else 1
    return 1
