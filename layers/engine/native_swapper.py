"""Runs the inswapper network on the native engine."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from layers.core.errors import ModelsCorrupt
from layers.engine.native_library import Miscalculates as Miscalculates
from layers.engine.native_library import Unavailable as Unavailable
from layers.engine.native_library import library as library
from layers.engine.native_run import NativeNetwork, window_bytes
from layers.engine.stages import Weights
from layers.engine.swapper import Floats

FORMAT = 1
CONVOLUTIONS, STYLES = 20, 12


@dataclass(frozen=True)
class Description:
    """What the engine has to know about a network of the inswapper family; the blob `native` of a pack."""

    width: int  # channels of the first layer
    epsilon: float  # added to the variance by every normalisation
    weights: tuple[
        tuple[int, bool], ...
    ]  # of each layer: offset in the flat file (bytes), and whether they are half floats
    biases: Floats  # of all layers, one after the other

    def dump(self) -> bytes:
        """Serialise: a line of JSON, and the biases behind it."""
        weights = [[at, int(half)] for at, half in self.weights]
        head = {"format": FORMAT, "width": self.width, "epsilon": self.epsilon, "weights": weights}
        return json.dumps(head).encode() + b"\n" + self.biases.astype("<f4").tobytes()

    @property
    def min_window_bytes(self) -> int:
        """The least window: the most bytes between the first that a layer, or any later one, needs and that layer's
        last."""
        sizes = [
            int(np.prod(shape)) * (2 if half else 4)
            for shape, (_, half) in zip(layer_shapes(self.width), self.weights, strict=True)
        ]
        styled = [each for i in range(STYLES) for each in (CONVOLUTIONS + i, 4 + i)]
        order = [*range(4), *styled, *range(4 + STYLES, CONVOLUTIONS)]
        return window_bytes([(self.weights[layer][0], sizes[layer]) for layer in order])

    @staticmethod
    def parse(data: bytes, size: int) -> Description:
        """Parse a blob; `size` is that of the flat file in bytes. Blobs are verified, so a fault is the publisher's.

        Raises ModelsCorrupt, or Unavailable for a format that is newer than this code.
        """
        line, _, rest = data.partition(b"\n")
        try:
            head = json.loads(line)
            if head["format"] != FORMAT:
                raise Unavailable(f"the pack describes the network in format {head['format']}")
            width, epsilon = int(head["width"]), float(head["epsilon"])
            weights = tuple((int(at), bool(half)) for at, half in head["weights"])
            biases = np.frombuffer(rest, "<f4").astype(np.float32)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelsCorrupt("The description of a network cannot be read. Publish the pack again.") from error
        shapes = layer_shapes(width)
        fits = (
            width > 0
            and 0 <= epsilon < 1
            and width % 16 == 0
            and len(weights) == len(shapes)
            and biases.size == sum(shape[0] for shape in shapes)
            and bool(np.isfinite(biases).all())
            and all(
                at >= 0 and at % 2 == 0 and at + int(np.prod(shape)) * (2 if half else 4) <= size
                for (at, half), shape in zip(weights, shapes, strict=True)
            )
            and all(half for (_, half), shape in zip(weights, shapes, strict=True) if shape[2:] == (3, 3))
        )
        if not fits:
            raise ModelsCorrupt("The description of a network does not fit its weights. Publish the pack again.")
        return Description(width, epsilon, weights, biases)


def layer_shapes(width: int) -> list[tuple[int, ...]]:
    """Shapes of the weights, output channels first: convolutions (OIHW) of encoder, blocks and decoder, then styles."""
    w = width
    encoder = [(w, 3, 7, 7), (2 * w, w, 3, 3), (4 * w, 2 * w, 3, 3), (8 * w, 4 * w, 3, 3)]
    blocks = [(8 * w, 8 * w, 3, 3)] * STYLES
    decoder = [(4 * w, 8 * w, 3, 3), (2 * w, 4 * w, 3, 3), (w, 2 * w, 3, 3), (3, w, 7, 7)]
    return [*encoder, *blocks, *decoder, *[(16 * w, 512)] * STYLES]


class NativeSwapper:
    """A Swapper that starts as soon as the first bytes of its weights have arrived."""

    def __init__(
        self, description: Description, weights: Weights, threads: int, instructions: str = "", lean: bool = False
    ) -> None:
        """`instructions` is avx2, avx512, or "" for the best; `lean` suits a small sandbox. Raises Unavailable."""
        biases = np.ascontiguousarray(description.biases, np.float32)
        self._network = NativeNetwork(
            lambda engine, options: engine.coldswap_create_swapper(
                options, description.width, description.epsilon, biases.ctypes.data
            ),
            description.weights,
            weights,
            description.min_window_bytes,
            threads,
            instructions,
            lean,
        )
        self.window: int | None = self._network.window
        self.name = self._network.name

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """Swap float32 crops [N, 3, 128, 128], RGB in [0, 1], by float32 latents [N, 512] of unit length; return crops.

        All faces go through together, so that each weight is read once. Waits for weights that are still arriving, and
        raises what that raises. Weights in a window are released as soon as their layer is done. Raises ValueError for
        other shapes, or if the window is too small for a layer.
        """
        if len(crops) != len(latents):
            raise ValueError(f"{len(crops)} crops but {len(latents)} latents")
        if crops.shape[1:] != (3, 128, 128) or latents.shape[1:] != (512,):
            raise ValueError(f"crops {crops.shape} or latents {latents.shape} have another shape")
        crops, latents = (np.ascontiguousarray(each, np.float32) for each in (crops, latents))
        swapped = np.empty_like(crops)
        self._network.run(len(crops), crops, latents, swapped)
        return swapped

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper cannot run again."""
        self._network.close()
