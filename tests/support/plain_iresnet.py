"""An IResNet in plain NumPy, from what a pack says to the native engine: an oracle for both.

It shares no code with the engine nor with what describes networks to it, and works in float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


class PlainIResNet:
    """A network of `blocks` in its four parts, whose first part has `width` channels."""

    def __init__(
        self,
        blocks: Sequence[int],
        width: int,
        weights: Sequence[tuple[int, bool]],
        values: NDArray[np.float32],
        flat: bytes | bytearray,
    ) -> None:
        """`weights` are offsets in bytes in the file `flat`, and whether halves lie there, in order of use.

        `values` are all other numbers, in the same order.
        """
        self._blocks, self._width, self._flat = blocks, width, flat
        self._weights, self._values = weights, values.astype(np.float64)

    def run(self, crops: NDArray[np.float32]) -> Doubles:
        """Embed float32 crops [N, 3, 112, 112] as float64 [N, 512]."""
        self._next_weights, self._next_value = iter(self._weights), 0
        x = self._slope(self._convolve(crops.astype(np.float64), self._width, 3, 1))
        for part, count in enumerate(self._blocks):
            for block in range(count):
                x = self._block(x, self._width << part, stride=1 if block else 2)
        x = self._scale(x).reshape(len(x), -1)
        dense = self._take_weights(self._next_weights, (512, x.shape[1]))
        scale, shift = self._take(512), self._take(512)
        if self._next_value != len(self._values) or next(self._next_weights, None) is not None:
            raise ValueError("something is left over")
        return scale * (x @ dense.T) + shift

    def _block(self, x: Doubles, out: int, stride: int) -> Doubles:
        y = self._slope(self._convolve(self._scale(x), out, 3, 1))
        y = self._convolve(y, out, 3, stride)
        return y + (x if stride == 1 else self._convolve(x, out, 1, stride))

    def _convolve(self, x: Doubles, out: int, side: int, stride: int) -> Doubles:
        """By its definition, with as many zeros around as keep the size."""
        kernel = self._take_weights(self._next_weights, (out, x.shape[1], side, side))
        edge = side // 2
        padded = np.pad(x, ((0, 0), (0, 0), (edge, edge), (edge, edge)))
        windows: Any = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(2, 3))
        windows = windows[:, :, ::stride, ::stride]
        sums = np.tensordot(windows, kernel, axes=((1, 4, 5), (1, 2, 3)))
        return np.moveaxis(sums, 3, 1) + self._take(out)[:, None, None]

    def _scale(self, x: Doubles) -> Doubles:
        channels = x.shape[1]
        scale, shift = self._take(channels), self._take(channels)
        return scale[:, None, None] * x + shift[:, None, None]

    def _slope(self, x: Doubles) -> Doubles:
        return np.where(x < 0, x * self._take(x.shape[1])[:, None, None], x)

    def _take(self, count: int) -> Doubles:
        self._next_value += count
        return self._values[self._next_value - count : self._next_value]

    def _take_weights(self, places: Iterator[tuple[int, bool]], shape: tuple[int, ...]) -> Doubles:
        offset, half = next(places)
        stored = np.frombuffer(self._flat, "<f2" if half else "<f4", int(np.prod(shape)), offset)
        return stored.astype(np.float64).reshape(shape)
