"""Recognises networks of the IResNet family, as InsightFace's arcface_torch exports them, for the native engine.

The trunk is a convolution and four parts of residual blocks, the first of each with a convolution of 1x1 in its
shortcut; then come a dense layer and batch normalisations. Here what lies between the layers is checked, too: every
node of the graph must be one of theirs, in this order. Batch normalisations behind convolutions must be folded into
them already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layers.engine.native_embedder import EMBEDDING, LAST_PIXELS, MAX_BLOCKS, PARTS, EmbedderDescription
from layers.engine.stages import Array
from layers.engine.swapper import Floats
from layers.models.tools.onnx_file import read_attribute

EPSILON = 1e-5  # that ONNX adds to the variance where a node names none


class _OtherFamily(Exception):
    """The network is not an IResNet."""


def recognise_iresnet(
    nodes: Sequence[Any], constants: Mapping[str, Array], places: Mapping[str, tuple[int, str]]
) -> EmbedderDescription | None:
    """Describe a network for the native engine; None if it is of another family.

    `nodes` are all that its output depends on; `places` are where constants lie in the flat file (offset in bytes,
    dtype).
    """
    try:
        return _Reader(nodes, constants, places).read()
    except (_OtherFamily, IndexError):  # the latter for a node that lacks inputs
        return None


class _Reader:
    """Follows the network from its input to its output, and collects what the engine has to know."""

    def __init__(
        self, nodes: Sequence[Any], constants: Mapping[str, Array], places: Mapping[str, tuple[int, str]]
    ) -> None:
        self._count = len(nodes)
        self._taken: set[int] = set()  # ids of the nodes that were recognised
        produced = {name for node in nodes for name in node.output}
        self._consumers: dict[str, list[Any]] = {}
        for node in nodes:
            for name in set(node.input):
                self._consumers.setdefault(name, []).append(node)
        self._inputs = self._consumers.keys() - produced - constants.keys() - {""}
        self._constants, self._places = constants, places
        self._weights: list[tuple[int, bool]] = []
        self._values: list[Floats] = []

    def read(self) -> EmbedderDescription:
        """Raises _OtherFamily."""
        _require(len(self._inputs) == 1)
        (x,) = self._inputs
        stem = self._constant(self._find(x, "Conv").input[1])
        width = stem.shape[0] if stem.ndim == 4 else 0
        _require(width > 0 and width % 16 == 0)
        x = self._slopes(self._convolution(x, (width, 3, 3, 3)), width)
        x, blocks = self._blocks(x, width)
        channels = width << PARTS - 1
        x, *final = self._batch_norm(x, channels)
        self._values += final
        self._dense(x, channels * LAST_PIXELS)
        _require(len(self._taken) == self._count)
        values = np.concatenate([value.ravel() for value in self._values])
        _require(bool(np.isfinite(values).all()))
        first, second, third, fourth = blocks
        return EmbedderDescription((first, second, third, fourth), width, tuple(self._weights), values)

    def _blocks(self, x: str, width: int) -> tuple[str, list[int]]:
        """The trunk's output, and how many blocks each part has. A block begins where a tensor is used twice."""
        blocks: list[int] = []
        channels = width
        while len(users := self._consumers.get(x, [])) == 2:
            begins_part = any(node.op_type == "Conv" for node in users)
            blocks += [0] if begins_part else []
            _require(0 < len(blocks) <= PARTS)
            blocks[-1] += 1
            out = width << len(blocks) - 1
            x = self._block(x, channels, out, begins_part)
            channels = out
        _require(len(blocks) == PARTS and max(blocks) <= MAX_BLOCKS)
        return x, blocks

    def _block(self, x: str, channels: int, out: int, begins_part: bool) -> str:
        y, *normalisation = self._batch_norm(x, channels)
        self._values += normalisation
        y = self._slopes(self._convolution(y, (out, channels, 3, 3)), out)
        stride = 2 if begins_part else 1
        y = self._convolution(y, (out, out, 3, 3), stride)
        shortcut = self._convolution(x, (out, channels, 1, 1), stride) if begins_part else x
        addition = self._take(y, "Add")
        _require(sorted(addition.input) == sorted([y, shortcut]))
        return str(addition.output[0])

    def _convolution(self, x: str, shape: tuple[int, int, int, int], stride: int = 1) -> str:
        node = self._take(x, "Conv")
        pad = shape[2] // 2
        _require(len(node.input) == 3 and self._constant(node.input[1]).shape == shape)
        _require(read_attribute(node, "auto_pad", b"NOTSET") == b"NOTSET" and read_attribute(node, "group", 1) == 1)
        _require(read_attribute(node, "strides", [1, 1]) == [stride, stride])
        _require(read_attribute(node, "pads", [0] * 4) == [pad] * 4)
        _require(read_attribute(node, "dilations", [1, 1]) == [1, 1])
        self._place(node.input[1])
        _require(self._weights[-1][1] or shape[1] == 3 or shape[2] == 1)  # the engine has other kernels in fp16 only
        self._values.append(self._floats(node.input[2], (shape[0],)))
        return str(node.output[0])

    def _slopes(self, x: str, channels: int) -> str:
        node = self._take(x, "PRelu")
        self._values.append(self._floats(node.input[1], (channels, 1, 1)))
        return str(node.output[0])

    def _batch_norm(self, x: str, channels: int) -> tuple[str, Floats, Floats]:
        """A batch normalisation as the same scale and shift of every channel that it is with fixed statistics."""
        node = self._take(x, "BatchNormalization")
        _require(len(node.input) == 5 and len(node.output) == 1)
        _require(not read_attribute(node, "training_mode", 0) and read_attribute(node, "spatial", 1) == 1)
        epsilon = read_attribute(node, "epsilon", EPSILON)
        _require(isinstance(epsilon, float))
        gamma, beta, mean, variance = (self._constant(name).astype(np.float64) for name in node.input[1:])
        _require(all(each.shape == (channels,) for each in (gamma, beta, mean, variance)))
        with np.errstate(all="ignore"):
            scale = gamma / np.sqrt(variance + epsilon)
            shift = beta - mean * scale
            return str(node.output[0]), scale.astype(np.float32), shift.astype(np.float32)

    def _dense(self, x: str, inputs: int) -> None:
        """The last layer W x + b and its batch normalisation, as one scale and shift of W x."""
        flatten = self._take(x, "Flatten")
        _require(read_attribute(flatten, "axis", 1) == 1)
        node = self._take(str(flatten.output[0]), "Gemm")
        _require(len(node.input) == 3 and self._constant(node.input[1]).shape == (EMBEDDING, inputs))
        expected = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 1}
        defaults = {**expected, "transB": 0}
        _require(all(read_attribute(node, name, defaults[name]) == value for name, value in expected.items()))
        self._place(node.input[1])
        bias = self._floats(node.input[2], (EMBEDDING,))
        x, scale, shift = self._batch_norm(str(node.output[0]), EMBEDDING)
        self._values += [scale, scale * bias + shift]
        while x in self._consumers:
            x = str(self._take(x, "Identity").output[0])

    def _find(self, x: str, kind: str) -> Any:
        """The only node of a kind that takes a tensor."""
        matches = [node for node in self._consumers.get(x, []) if node.op_type == kind]
        _require(len(matches) == 1)
        return matches[0]

    def _take(self, x: str, kind: str) -> Any:
        node = self._find(x, kind)
        _require(id(node) not in self._taken and (kind == "Add" or node.input[0] == x))  # a circle is no network
        self._taken.add(id(node))
        return node

    def _place(self, name: str) -> None:
        _require(name in self._places)
        offset, dtype = self._places[name]
        self._weights.append((offset, dtype == "float16"))

    def _constant(self, name: str) -> Array:
        """A constant of floats."""
        _require(name in self._constants and self._constants[name].dtype.kind == "f")
        return self._constants[name]

    def _floats(self, name: str, shape: tuple[int, ...]) -> Floats:
        value = self._constant(name)
        _require(value.shape == shape)
        return value.astype(np.float32)


def _require(holds: bool) -> None:
    if not holds:
        raise _OtherFamily
