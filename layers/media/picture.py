"""Pictures as pixels: read within limits, written with a label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Format = Literal["jpeg", "png", "webp"]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    pixels: Pixels  # uint8 [H, W, 3], BGR
    alpha: Pixels | None  # uint8 [H, W], or None where the file had none
    digest: str  # SHA-256, hex, of the bytes it was read from
    format: Format  # of the bytes it was read from

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])
