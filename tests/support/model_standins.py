"""Stand-ins for the real models: ONNX files with their names, shapes, opset and layout, and random weights.

Their outputs mean nothing, but they cost what the real ones cost, and insightface's classes load them. Layouts:
inswapper_128 as in InsightFace's examples/in_swapper; w600k_r50 is IResNet50 (recognition/arcface_torch, iresnet.py),
its batch norms folded where a convolution comes before; det_10g and det_500m are SCRFD-10GF and SCRFD-500MF with
keypoints (detection/scrfd, configs/scrfd/scrfd_10g_bnkps.py and scrfd_500m_bnkps.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Precision = Literal["fp32", "fp16", "fp16-weights"]

OPSET, IR = 11, 6
SCORES, BOXES, KEYPOINTS = ("448", "471", "494"), ("451", "474", "497"), ("454", "477", "500")
SPREAD = 0.1  # of the weights of the scores' head
STRIDES = (8, 16, 32)
# Half the side of the box, and the eyes, nose and corners of the mouth, in strides from the anchor's centre:
# an upright face of the ArcFace template's proportions (insightface/utils/face_align.py).
HALF_SIDE = 2.5
TEMPLATE = np.array([[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]], np.float32)
FACE: Array = (TEMPLATE - 66.0) / 112 * 2 * HALF_SIDE


class Graph:
    """An ONNX graph being written; each method adds a node and returns the name of its output."""

    def __init__(self, seed: int, precision: Precision = "fp32") -> None:
        """`fp16`: weights and arithmetic, as onnxruntime's float16 converter writes it (inputs and outputs cast);
        `fp16-weights`: a Cast after each weight."""
        self._random = np.random.default_rng(seed)
        self._precision = precision
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []
        self._count = 0

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node with one output."""
        self._count += 1
        name = f"{kind}_{self._count}"
        self._nodes.append(helper.make_node(kind, list(inputs), [name], name, **attributes))
        return name

    def tensor(self, value: Array) -> str:
        """A constant; floats in the precision of the graph."""
        self._count += 1
        name = f"stored_{self._count}"
        half = value.dtype == np.float32 and self._precision != "fp32"
        self._initializers.append(numpy_helper.from_array(value.astype(np.float16) if half else value, name))
        if half and self._precision == "fp16-weights":
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        return name

    def float32(self, value: Array) -> str:
        """A constant that an operator takes in float32 only."""
        self._count += 1
        self._initializers.append(numpy_helper.from_array(value, f"stored_{self._count}"))
        return f"stored_{self._count}"

    def normal(self, shape: Sequence[int], scale: float, mean: float = 0.0) -> str:
        """Random weights."""
        value = self._random.standard_normal(shape, dtype=np.float32)
        value *= scale
        value += mean
        return self.tensor(value)

    def conv(self, x: str, into: int, out: int, side: int, stride: int = 1, pad: int = 0, gain: float = 1.0) -> str:
        """A convolution whose output has about `gain` times the input's spread."""
        weights = [self.normal((out, into, side, side), gain / np.sqrt(into * side**2)), self.normal((out,), 0.05)]
        shape = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": [pad] * 4}
        return self.node("Conv", [x, *weights], **shape)

    def enter(self, name: str) -> str:
        """Cast a float32 input of the network to the graph's precision."""
        return self.node("Cast", [name], to=TensorProto.FLOAT16) if self._precision == "fp16" else name

    def leave(self, x: str, name: str) -> None:
        """A float32 output of the network."""
        cast = self._precision == "fp16"
        kind, attributes = ("Cast", {"to": TensorProto.FLOAT}) if cast else ("Identity", {})
        self._nodes.append(helper.make_node(kind, [x], [name], f"leave_{name}", **attributes))

    def save(
        self, path: Path, inputs: dict[str, list[Any]], outputs: dict[str, list[Any]], last: Any | None = None
    ) -> None:
        """Write the file; `last` is a TensorProto that becomes the last initializer."""
        values = [
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in side.items()]
            for side in (inputs, outputs)
        ]
        initializers = [*self._initializers, *([last] if last is not None else [])]
        graph = helper.make_graph(self._nodes, "torch_jit", *values, initializers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.save(model, str(path))


def inswapper(path: Path, precision: Precision = "fp16", width: int = 1024, seed: int = 1) -> Path:
    """inswapper_128: width 1024 is the real one (138 million parameters)."""
    graph = Graph(seed, precision)
    eighth, quarter, half = width // 8, width // 4, width // 2
    one, two, tiny = (graph.tensor(np.array(value, np.float32)) for value in (1, 2, 1e-3))
    edges = {side: graph.tensor(np.array([0, 0, side, side] * 2, np.int64)) for side in (1, 3)}
    nothing, twice = (graph.float32(np.array(value, np.float32)) for value in ([], [1, 1, 2, 2]))
    target, source = graph.enter("target"), graph.enter("source")

    def reflect_pad(x: str, side: int) -> str:
        return graph.node("Pad", [x, edges[side]], mode="reflect")

    def leaky(x: str) -> str:
        return graph.node("LeakyRelu", [x], alpha=0.2)

    def upsample(x: str) -> str:
        options = {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"}
        return graph.node("Resize", [x, nothing, twice], **options)

    def adain(x: str) -> str:
        mean = graph.node("ReduceMean", [x], axes=[2, 3], keepdims=1)
        centred = graph.node("Sub", [x, mean])
        square = graph.node("Mul", [centred, centred])
        spread = graph.node("Add", [graph.node("ReduceMean", [square], axes=[2, 3], keepdims=1), tiny])
        normal = graph.node("Mul", [centred, graph.node("Div", [one, graph.node("Sqrt", [spread])])])
        weights = [graph.normal((2 * width, 512), 0.35), graph.normal((2 * width,), 0.1)]
        style = graph.node("Gemm", [source, *weights], transB=1)
        style = graph.node("Unsqueeze", [style], axes=[2, 3])
        bounds = [graph.tensor(np.array([at], np.int64)) for at in (0, width, 2 * width, 1)]
        scale = graph.node("Slice", [style, bounds[0], bounds[1], bounds[3]])
        shift = graph.node("Slice", [style, bounds[1], bounds[2], bounds[3]])
        return graph.node("Add", [graph.node("Mul", [normal, scale]), shift])

    x = leaky(graph.conv(reflect_pad(target, 3), 3, eighth, 7))
    x = leaky(graph.conv(x, eighth, quarter, 3, 1, 1))
    x = leaky(graph.conv(x, quarter, half, 3, 2, 1))
    x = leaky(graph.conv(x, half, width, 3, 2, 1))
    for _ in range(6):
        y = graph.node("Relu", [adain(graph.conv(reflect_pad(x, 1), width, width, 3))])
        x = graph.node("Add", [x, adain(graph.conv(reflect_pad(y, 1), width, width, 3))])
    x = leaky(graph.conv(upsample(x), width, half, 3, 1, 1))
    x = leaky(graph.conv(upsample(x), half, quarter, 3, 1, 1))
    x = leaky(graph.conv(x, quarter, eighth, 3, 1, 1))
    x = graph.node("Tanh", [graph.conv(reflect_pad(x, 3), eighth, 3, 7)])
    graph.leave(graph.node("Div", [graph.node("Add", [x, one]), two]), "output")
    emap = np.random.default_rng(seed + 1).standard_normal((512, 512)).astype(np.float32)
    crop = [1, 3, 128, 128]
    graph.save(path, {"target": crop, "source": [1, 512]}, {"output": crop}, numpy_helper.from_array(emap, "buff2fs"))
    return path


def w600k_r50(path: Path, width: int = 64, blocks: Sequence[int] = (3, 4, 14, 3), seed: int = 2) -> Path:
    """The embedder: width 64 is the real one (43.6 million parameters)."""
    graph = Graph(seed)
    x, into = _iresnet(graph, "input.1", width, blocks)
    flat = graph.node("Flatten", [x], axis=1)
    weights = [graph.normal((512, into * 49), 1 / np.sqrt(into * 49)), graph.normal((512,), 0.05)]
    x = graph.node("Gemm", [flat, *weights], transB=1)
    graph.leave(_batch_norm(graph, x, 512), "683")
    graph.save(path, {"input.1": ["None", 3, 112, 112]}, {"683": ["None", 512]})
    return path


def face_numbers(
    path: Path, side: int, out: int, width: int, blocks: Sequence[int] = (3, 4, 17, 3), seed: int = 5
) -> Path:
    """A network of the packs that a swap does not need, from a crop to `out` numbers.

    1k3d68 has about the side 192, 3309 numbers and width 64 (36 million parameters); 2d106det and genderage are
    narrower.
    """
    graph = Graph(seed)
    x, into = _iresnet(graph, "data", width, blocks)
    flat = graph.node("Flatten", [graph.node("GlobalAveragePool", [x])], axis=1)
    weights = [graph.normal((out, into), 1 / np.sqrt(into)), graph.normal((out,), 0.05)]
    graph.leave(graph.node("Gemm", [flat, *weights], transB=1), "fc1")
    graph.save(path, {"data": ["None", 3, side, side]}, {"fc1": ["None", out]})
    return path


def _batch_norm(graph: Graph, x: str, channels: int) -> str:
    near_one = [graph.normal((channels,), 0.05, mean) for mean in (1.0, 0.0)]
    statistics = [graph.normal((channels,), 0.05), graph.tensor(np.ones(channels, np.float32))]
    return graph.node("BatchNormalization", [x, *near_one, *statistics], epsilon=1e-5, momentum=0.9)


def _iresnet(graph: Graph, input: str, width: int, blocks: Sequence[int]) -> tuple[str, int]:
    """The trunk; its output and how many channels that has."""

    def slope(x: str, channels: int) -> str:
        return graph.node("PRelu", [x, graph.normal((channels, 1, 1), 0.05, 0.25)])

    x = slope(graph.conv(input, 3, width, 3, 1, 1), width)
    into = width
    for number, count in enumerate(blocks):
        out = width << number
        for block in range(count):
            stride = 2 if block == 0 else 1
            short = graph.conv(x, into, out, 1, stride) if block == 0 else x
            y = slope(graph.conv(_batch_norm(graph, x, into), into, out, 3, 1, 1), out)
            x = graph.node("Add", [graph.conv(y, out, out, 3, stride, 1, 0.3), short])
            into = out
    return _batch_norm(graph, x, into), into


def det_10g(path: Path, shift: float = 0.0, seed: int = 3, spread: float = SPREAD) -> Path:
    """The detector (4.2 million parameters).

    Its heads for boxes and keypoints give the same upright face everywhere; `shift` is added to the score's logit at
    stride 32, to which `spread` is proportional otherwise, and the finer strides give no score, so that a picture
    with one detected face can be found.
    """
    graph = Graph(seed)

    def relu(x: str) -> str:
        return graph.node("Relu", [x])

    x = relu(graph.conv("input.1", 3, 28, 3, 2, 1, 1.4))
    x = relu(graph.conv(x, 28, 28, 3, 1, 1, 1.4))
    x = relu(graph.conv(x, 28, 56, 3, 1, 1, 1.4))
    x = graph.node("MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    into, levels = 56, []
    for stage, (out, count) in enumerate(((56, 3), (88, 4), (88, 2), (224, 3))):
        for block in range(count):
            stride = 2 if stage and not block else 1
            short = x
            if stage and not block:
                short = graph.node("AveragePool", [x], kernel_shape=[2, 2], strides=[2, 2])
                short = graph.conv(short, into, out, 1)
            y = graph.conv(relu(graph.conv(x, into, out, 3, stride, 1, 1.4)), out, out, 3, 1, 1, 0.5)
            x = relu(graph.node("Add", [y, short]))
            into = out
        levels.append((x, out))
    finer = _add_neck(graph, levels[1:], 56)
    for at, x in enumerate(finer):
        for channels in (56, 80, 80):
            x = relu(graph.conv(x, channels, 80, 3, 1, 1, 1.4))
        finer[at] = x
    _add_heads(graph, finer, 80, shift, spread, (SCORES, BOXES, KEYPOINTS), path)
    return path


def det_500m(path: Path, shift: float = 0.0, seed: int = 4, spread: float = SPREAD) -> Path:
    """The small detector (0.6 million parameters); its convolutions are depthwise; its heads are as in `det_10g`."""
    graph = Graph(seed)

    def separable(x: str, into: int, out: int, stride: int = 1) -> str:
        weights = [graph.normal((into, 1, 3, 3), 0.55), graph.normal((into,), 0.05)]
        shape = {"kernel_shape": [3, 3], "strides": [stride, stride], "pads": [1] * 4, "group": into}
        x = graph.node("Relu", [graph.node("Conv", [x, *weights], **shape)])
        return graph.node("Relu", [graph.conv(x, into, out, 1, gain=1.4)])

    x = graph.node("Relu", [graph.conv("input.1", 3, 16, 3, 2, 1, 1.4)])
    x = separable(x, 16, 16)
    into, levels = 16, []
    for out, count in ((40, 2), (72, 3), (152, 2), (288, 6)):
        for block in range(count):
            x = separable(x, into, out, 1 if block else 2)
            into = out
        levels.append((x, out))
    finer = [separable(separable(level, 16, 64), 64, 64) for level in _add_neck(graph, levels[1:], 16)]
    names = (("443", "468", "493"), ("446", "471", "496"), ("449", "474", "499"))
    _add_heads(graph, finer, 64, shift, spread, names, path)
    return path


def _add_neck(graph: Graph, levels: Sequence[tuple[str, int]], channels: int) -> list[str]:
    """A PAFPN over feature maps and their channels, finest first."""
    finer = [graph.conv(level, into, channels, 1) for level, into in levels]
    twice = graph.tensor(np.array([1, 1, 2, 2], np.float32))
    nothing = graph.tensor(np.array([], np.float32))
    for at in (1, 0):
        options = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        finer[at] = graph.node("Add", [finer[at], graph.node("Resize", [finer[at + 1], nothing, twice], **options)])
    finer = [graph.conv(level, channels, channels, 3, 1, 1) for level in finer]
    for at in (1, 2):
        down = graph.conv(finer[at - 1], channels, channels, 3, 2, 1)
        finer[at] = graph.node("Add", [finer[at], down])
    finer[1:] = [graph.conv(level, channels, channels, 3, 1, 1) for level in finer[1:]]
    return finer


def _add_heads(
    graph: Graph,
    finer: Sequence[str],
    into: int,
    shift: float,
    spread: float,
    names: Sequence[Sequence[str]],
    path: Path,
) -> None:
    """Scores, boxes and keypoints under these names, each for all strides, and the file."""
    outputs: dict[str, list[Any]] = {}
    for x, stride, *heads in zip(finer, STRIDES, *names, strict=True):
        biases = [np.full(2, shift if stride == 32 else -20.0), np.full(8, HALF_SIDE), np.tile(FACE.reshape(-1), 2)]
        for name, size, bias in zip(heads, (1, 4, 10), biases, strict=True):
            scale = spread if size == 1 and stride == 32 else 0.0
            weights = [graph.normal((2 * size, into, 3, 3), scale), graph.tensor(bias.astype(np.float32))]
            y = graph.node("Conv", [x, *weights], kernel_shape=[3, 3], strides=[1, 1], pads=[1] * 4)
            if size == 4:
                y = graph.node("Mul", [y, graph.tensor(np.array(1, np.float32))])
            y = graph.node("Transpose", [y], perm=[2, 3, 0, 1])
            y = graph.node("Reshape", [y, graph.tensor(np.array([-1, size], np.int64))])
            graph.leave(graph.node("Sigmoid", [y]) if size == 1 else y, name)
            outputs[name] = ["anchors", size]
    order = [name for kind in names for name in kind]
    crop: list[Any] = [1, 3, "height", "width"]
    graph.save(path, {"input.1": crop}, {name: outputs[name] for name in order})
