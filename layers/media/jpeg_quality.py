"""The quality of a JPEG, by its quantization tables.

The tables are the examples of ITU-T T.81 annex K, which libjpeg scales by a quality from 1 to 100; OpenCV encodes with
these, so a picture made with libjpeg at some quality is encoded again with the very same tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

# fmt: off
_LUMA = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51,
    87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103, 99,
)
# fmt: on
_CHROMA = (17, 18, 24, 47, 18, 21, 26, 66, 24, 26, 56, 99, 47, 66, 99, 99) + (99,) * 48


def estimate_quality(table: Sequence[int], *, chroma: bool = False) -> int:
    """The lowest quality, 1 to 100, whose table is on the whole no coarser than this one of 64 steps, in any order."""
    total = sum(table)
    return next((quality for quality in range(1, 100) if _total(quality, chroma) <= total), 100)


@cache
def _total(quality: int, chroma: bool) -> int:
    """The sum of the steps at a quality."""
    percent = 5000 // quality if quality < 50 else 200 - 2 * quality
    return sum(min(max((step * percent + 50) // 100, 1), 255) for step in (_CHROMA if chroma else _LUMA))
