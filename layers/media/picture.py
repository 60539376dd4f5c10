"""A picture as pixels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.media.formats import PictureFormat

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    pixels: Pixels  # uint8 [H, W, 3], BGR
    alpha: Pixels | None  # uint8 [H, W], None where the file has no alpha
    digest: str  # SHA-256, in hex, of the bytes that it was decoded from
    format: PictureFormat  # of those bytes

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])
