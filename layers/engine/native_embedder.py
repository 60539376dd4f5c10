"""Runs the embedder on the native engine: ArcFace's IResNet, batch norms folded where a convolution comes before."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np

from layers.core.errors import ModelsCorrupt
from layers.engine.native_library import Unavailable
from layers.engine.native_run import NativeNetwork, window_bytes
from layers.engine.stages import Weights
from layers.engine.swapper import Floats

FORMAT, NETWORK = 1, "iresnet"
PARTS, EMBEDDING = 4, 512
SIDE = 112  # of a crop; each part halves it
LAST_PIXELS = (SIDE >> PARTS) ** 2
MAX_BLOCKS = 100  # of a part: IResNet-200 has 60


@dataclass(frozen=True)
class EmbedderDescription:
    """What the engine has to know about an IResNet; the blob `native` of a pack's embedder."""

    blocks: tuple[int, int, int, int]  # of each part
    width: int  # channels of the first part; each following one has twice as many
    # Of each layer in order of use: offset in the flat file (bytes), and whether they are half floats. The stem; of
    # each block conv1, conv2 and, in the first of a part, the shortcut; last the dense layer.
    weights: tuple[tuple[int, bool], ...]
    # In the same order. The stem's bias and slopes; of each block the scale and shift before conv1, conv1's bias and
    # slopes, conv2's bias and, in the first of a part, the shortcut's; the scale and shift per channel before the
    # dense layer; a scale and a shift for each of its outputs: scale * (weights x) + shift.
    values: Floats

    def dump(self) -> bytes:
        """Serialise: a line of JSON, and the values behind it."""
        weights = [[at, int(half)] for at, half in self.weights]
        head = {
            "format": FORMAT,
            "network": NETWORK,
            "blocks": list(self.blocks),
            "width": self.width,
            "weights": weights,
        }
        return json.dumps(head).encode() + b"\n" + self.values.astype("<f4").tobytes()

    @property
    def min_window_bytes(self) -> int:
        """The least window that its layers allow (native_run.py)."""
        shapes = layer_shapes(self.width, self.blocks)
        return window_bytes(
            [
                (at, int(np.prod(shape)) * (2 if half else 4))
                for (at, half), shape in zip(self.weights, shapes, strict=True)
            ]
        )

    @staticmethod
    def parse(data: bytes, size: int) -> EmbedderDescription:
        """Parse a blob; `size` is that of the flat file in bytes. Blobs are verified, so a fault is the publisher's.

        Raises ModelsCorrupt, or Unavailable for a format or a network that this code does not know.
        """
        line, _, rest = data.partition(b"\n")
        try:
            head = json.loads(line)
            if (head["format"], head["network"]) != (FORMAT, NETWORK):
                raise Unavailable(f"the pack describes the network {head['network']} in format {head['format']}")
            one, two, three, four = (int(count) for count in head["blocks"])
            width = int(head["width"])
            weights = tuple((int(at), bool(half)) for at, half in head["weights"])
            values = np.frombuffer(rest, "<f4").astype(np.float32)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise ModelsCorrupt("The description of a network cannot be read. Publish the pack again.") from error
        description = EmbedderDescription((one, two, three, four), width, weights, values)
        if not description._fits(size):
            raise ModelsCorrupt("The description of a network does not fit its weights. Publish the pack again.")
        return description

    def _fits(self, size: int) -> bool:
        """Whether the parts fit together, and with a flat file of `size` bytes."""
        if self.width <= 0 or self.width % 16 or not all(1 <= count <= MAX_BLOCKS for count in self.blocks):
            return False
        shapes = layer_shapes(self.width, self.blocks)
        return (
            len(self.weights) == len(shapes)
            and self.values.size == value_count(self.width, self.blocks)
            and bool(np.isfinite(self.values).all())
            and all(
                at >= 0 and at % 2 == 0 and at + int(np.prod(shape)) * (2 if half else 4) <= size
                for (at, half), shape in zip(self.weights, shapes, strict=True)
            )
            # The stem, which has three input channels, is not computed like the other 3 x 3 convolutions.
            and all(half for (_, half), shape in zip(self.weights[1:], shapes[1:], strict=True) if shape[2:] == (3, 3))
        )


def layer_shapes(width: int, blocks: tuple[int, int, int, int]) -> list[tuple[int, ...]]:
    """Shapes of the weights in order of use, output channels first (OIHW; the dense layer's inputs in order CHW)."""
    shapes: list[tuple[int, ...]] = [(width, 3, 3, 3)]
    ins = width
    for part, count in enumerate(blocks):
        outs = width << part
        for block in range(count):
            shapes += [(outs, ins, 3, 3), (outs, outs, 3, 3)]
            if block == 0:
                shapes.append((outs, ins, 1, 1))
            ins = outs
    return [*shapes, (EMBEDDING, ins * LAST_PIXELS)]


def value_count(width: int, blocks: tuple[int, int, int, int]) -> int:
    """How many values an IResNet has beside its weights."""
    count, ins = 2 * width, width
    for part, blocks_of_part in enumerate(blocks):
        outs = width << part
        count += 2 * ins + 4 * outs + (blocks_of_part - 1) * 5 * outs
        ins = outs
    return count + 2 * ins + 2 * EMBEDDING


class NativeEmbedder:
    """Turns aligned crops into embeddings; starts as soon as the first bytes of its weights have arrived."""

    def __init__(
        self,
        description: EmbedderDescription,
        weights: Weights,
        threads: int,
        instructions: str = "",
        lean: bool = False,
    ) -> None:
        """`instructions` is avx2, avx512, or "" for the best; `lean` suits a small sandbox. Raises Unavailable."""
        values = np.ascontiguousarray(description.values, np.float32)
        blocks = np.array(description.blocks, np.int32)
        self._network = NativeNetwork(
            lambda engine, options: engine.coldswap_create_embedder(
                options, description.width, blocks.ctypes.data, values.ctypes.data
            ),
            description.weights,
            weights,
            description.min_window_bytes,
            threads,
            instructions,
            lean,
        )
        self.name = self._network.name

    def run(self, crops: Floats) -> Floats:
        """Embed float32 crops [N, 3, 112, 112], RGB, (value - 127.5) / 127.5, as float32 [N, 512], of any length.

        All crops go through together, so that each weight is read once. Waits for weights that are still arriving, and
        raises what that raises. Raises ValueError for another shape.
        """
        if crops.shape[1:] != (3, SIDE, SIDE):
            raise ValueError(f"crops {crops.shape} have another shape")
        crops = np.ascontiguousarray(crops, np.float32)
        embeddings = np.empty((len(crops), EMBEDDING), np.float32)
        self._network.run(len(crops), crops, None, embeddings)
        return embeddings

    def close(self) -> None:
        """Give the weights back to the system. A closed embedder cannot run again."""
        self._network.close()
