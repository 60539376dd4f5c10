"""Small random networks of the embedder's family: as the native engine takes them, and as an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from layers.engine.native_embedder import EmbedderDescription, layer_shapes, value_count
from layers.engine.session import session

ALIGNMENT = 64
Array = NDArray[np.float32]


@dataclass(frozen=True)
class IResNet:
    """A description, and the flat file that it describes."""

    description: EmbedderDescription
    weights: bytes

    def arrays(self) -> list[Array]:
        """The weights of each layer, in order of use."""
        shapes = layer_shapes(self.description.width, self.description.blocks)
        return [
            np.frombuffer(self.weights, np.float16 if half else np.float32, int(np.prod(shape)), at)
            .astype(np.float32)
            .reshape(shape)
            for (at, half), shape in zip(self.description.weights, shapes, strict=True)
        ]

    def serialise_onnx(self) -> bytes:
        """The bytes of an ONNX file of the network."""
        return _Graph(self).serialise()

    def embed(self, crops: Array) -> Array:
        """What onnxruntime makes of the crops, one after the other."""
        inference_session = session(self.serialise_onnx(), 1)
        return np.concatenate([inference_session.run(None, {"crop": crop[None]})[0] for crop in crops])


def random_iresnet(
    width: int = 16, blocks: tuple[int, int, int, int] = (1, 1, 1, 1), *, half_stem: bool = False, seed: int = 0
) -> IResNet:
    """A network whose activations neither vanish nor grow."""
    random = np.random.default_rng(seed)
    table, data = list[tuple[int, bool]](), bytearray()
    for number, shape in enumerate(layer_shapes(width, blocks)):
        half = number > 0 or half_stem
        table.append((len(data), half))
        weights = random.standard_normal(shape, dtype=np.float32) / np.sqrt(np.prod(shape[1:]), dtype=np.float32)
        data += weights.astype(np.float16 if half else np.float32).tobytes()
        data += bytes(-len(data) % ALIGNMENT)
    values = 0.3 + 0.3 * random.standard_normal(value_count(width, blocks), dtype=np.float32)
    return IResNet(EmbedderDescription(blocks, width, tuple(table), values), bytes(data))


class _Graph:
    """The network in ONNX; what its batch norms had seen had a mean of 0 and a variance of 1."""

    def __init__(self, network: IResNet) -> None:
        self._values = iter(network.description.values)
        self._weights = iter(network.arrays())
        self._nodes: list[Any] = []
        self._constants: list[Any] = []
        self._output = self._build(network.description)

    def serialise(self) -> bytes:
        """The file's bytes."""
        crop = helper.make_tensor_value_info("crop", TensorProto.FLOAT, [1, 3, 112, 112])
        embedding = helper.make_tensor_value_info(self._output, TensorProto.FLOAT, [1, 512])
        graph = helper.make_graph(self._nodes, "iresnet", [crop], [embedding], self._constants)
        opset = helper.make_opsetid("", 13)
        return bytes(helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString())

    def _build(self, description: EmbedderDescription) -> str:
        ins = description.width
        x = self._prelu(self._convolution("crop", ins), ins)
        for part, count in enumerate(description.blocks):
            outs = description.width << part
            for block in range(count):
                stride = 1 if block else 2
                y = self._prelu(self._convolution(self._batch_norm(x, ins), outs), outs)
                y = self._convolution(y, outs, stride)
                x = self._node("Add", [y, x if block else self._convolution(x, outs, stride)])
                ins = outs
        x = self._node("Flatten", [self._batch_norm(x, ins)], axis=1)
        bias = self._constant(np.zeros(512, np.float32))
        return self._batch_norm(self._node("Gemm", [x, self._constant(next(self._weights)), bias], transB=1), 512)

    def _node(self, kind: str, inputs: list[str], **attributes: Any) -> str:
        name = f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def _constant(self, value: Array) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name

    def _take(self, count: int) -> Array:
        values: Iterator[Any] = self._values
        return np.array([next(values) for _ in range(count)], np.float32)

    def _convolution(self, x: str, outs: int, stride: int = 1) -> str:
        weights = next(self._weights)
        pads = [weights.shape[2] // 2] * 4
        bias = self._constant(self._take(outs))
        return self._node("Conv", [x, self._constant(weights), bias], strides=[stride, stride], pads=pads)

    def _prelu(self, x: str, channels: int) -> str:
        return self._node("PRelu", [x, self._constant(self._take(channels).reshape(-1, 1, 1))])

    def _batch_norm(self, x: str, channels: int) -> str:
        scale, shift = self._take(channels), self._take(channels)
        values = [scale, shift, np.zeros(channels, np.float32), np.ones(channels, np.float32)]
        return self._node("BatchNormalization", [x, *[self._constant(value) for value in values]], epsilon=0.0)
