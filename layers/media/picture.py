"""A picture as pixels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from layers.media.formats import PictureFormat
from layers.media.header import FileTraits

Pixels = NDArray[np.uint8]

NEUTRAL = 128  # level of the grey ground on which faces are looked for in a transparent picture
_STRIP = 64  # rows flattened at a time, so that the float copy stays small


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright."""

    pixels: Pixels  # uint8 [H, W, 3], BGR
    alpha: Pixels | None  # uint8 [H, W], None where the file has no alpha
    digest: str  # SHA-256, in hex, of the bytes that it was decoded from
    format: PictureFormat  # of those bytes
    grey: bool = False  # whether those bytes had one channel of colour; the pixels' three are equal then
    traits: FileTraits = field(default_factory=FileTraits)

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])

    def as_seen(self) -> Pixels:
        """The pixels over a neutral ground, uint8 BGR [H, W, 3], for whatever looks at them.

        Their own array where nothing is translucent, since `decode` gives what is wholly transparent that colour.
        """
        if self.alpha is None or not ((self.alpha > 0) & (self.alpha < 255)).any():
            return self.pixels
        seen = self.pixels.copy()
        flatten(seen, self.alpha, NEUTRAL)
        return seen


def flatten(pixels: Pixels, alpha: Pixels, ground: int = 255) -> None:
    """Blend uint8 [H, W, 3] over a grey ground by its alpha, uint8 [H, W], in place; the default ground is white."""
    for top in range(0, len(pixels), _STRIP):
        strip, cover = pixels[top : top + _STRIP], alpha[top : top + _STRIP, :, None].astype(np.uint16)
        strip[:] = (strip * cover + ground * (255 - cover) + 127) // 255
