"""Winograd's convolution as ONNX operators against onnxruntime's own, on the layer that dominates a swap.

engine_arm.py runs it.

A convolution of 3 x 3 over 1024 channels of 32 x 32 pixels, as two thirds of the network's arithmetic is at true size:
onnxruntime's own, and F(4 x 4, 3 x 3) (Lavin and Gray 2015) as a grouped convolution of stride 4 that makes the 36
points of each tile, one matrix product a point, and a grouped transposed convolution that makes the 4 x 4 pixels. Its
kernels are transformed beforehand (four times the weights in fp32), or in the graph from fp16.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from layers.engine.swapper import Floats
from tests.bench.quiet import default_options

SIDE = 32
Kind = Literal["convolution", "kernels transformed beforehand", "kernels transformed in the graph"]
# Lavin and Gray, section 4.3.
INPUT = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ],
    np.float32,
)
KERNEL = np.array(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ],
    np.float32,
)
OUTPUT = np.array([[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]], np.float32)


def graph(kind: Kind, kernels: Floats, side: int = SIDE) -> bytes:
    """An ONNX model of the one layer: x float32 [1, I, side, side] → y [1, O, side, side], zero padded.

    kernels float32 [O, I, 3, 3], fp16 in the graph but where they are transformed beforehand; an input of it,
    `kernels`, where they are transformed in it.
    """
    outs, ins = kernels.shape[:2]
    constants: list[Any] = []
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, ins, side, side])]
    nodes: list[Any] = []

    def tensor(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(kind: str, sources: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, sources, [output], **attributes))
        return output

    if kind == "convolution":
        kernel = node("Cast", [tensor("kernels", kernels.astype(np.float16))], "single", to=TensorProto.FLOAT)
        node("Conv", ["x", kernel], "y", kernel_shape=[3, 3], pads=[1] * 4)
    else:
        tiles = side // 4
        points = np.einsum("ai,bj->abij", INPUT, INPUT).reshape(36, 1, 6, 6)
        output = node(
            "Conv",
            ["x", tensor("to_points", np.tile(points, (ins, 1, 1, 1)))],
            "points",
            group=ins, kernel_shape=[6, 6], strides=[4, 4], pads=[1] * 4,
        )  # fmt: skip
        output = node("Reshape", [output, tensor("by_channel", np.array([ins, 36, tiles**2]))], "channels")
        v = node("Transpose", [output], "v", perm=[1, 0, 2])
        if kind == "kernels transformed beforehand":
            u = tensor("u", np.einsum("ak,oikl,bl->aboi", KERNEL, kernels, KERNEL).reshape(36, outs, ins))
        else:
            # Given with each run, or onnxruntime would transform them when the session is made, and keep that.
            inputs.append(helper.make_tensor_value_info("kernels", TensorProto.FLOAT16, list(kernels.shape)))
            kernel = node("Cast", ["kernels"], "single", to=TensorProto.FLOAT)
            flat = node("Reshape", [kernel, tensor("by_tap", np.array([outs, ins, 9]))], "taps")
            both = np.einsum("ak,bl->klab", KERNEL, KERNEL).reshape(9, 36)
            u = node("Transpose", [node("MatMul", [flat, tensor("g", both)], "product")], "u", perm=[2, 0, 1])
        output = node("Transpose", [node("MatMul", [u, v], "m")], "outs", perm=[1, 0, 2])
        output = node("Reshape", [output, tensor("as_planes", np.array([1, outs * 36, tiles, tiles]))], "planes")
        pixels = np.einsum("ai,bj->ijab", OUTPUT, OUTPUT).reshape(36, 1, 4, 4)
        from_points = tensor("from_points", np.tile(pixels, (outs, 1, 1, 1)))
        node("ConvTranspose", [output, from_points], "y", group=outs, kernel_shape=[4, 4], strides=[4, 4])
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "layer",
            inputs,
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, outs, side, side])],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 13)],
        ir_version=8,
    )
    data: bytes = model.SerializeToString()
    onnx.checker.check_model(model)
    return data


def race(repeats: int, channels: int) -> dict[str, Any]:
    """Medians of CPU seconds of the layer by kind, with their ratios to onnxruntime's own convolution, and the bytes of
    weights that each holds."""
    random = np.random.default_rng(0)
    kernels = random.standard_normal((channels, channels, 3, 3), np.float32) / np.float32(np.sqrt(channels * 9))
    x = random.standard_normal((1, channels, SIDE, SIDE), np.float32)
    kinds: tuple[Kind, ...] = ("convolution", "kernels transformed beforehand", "kernels transformed in the graph")
    sessions = {kind: onnxruntime.InferenceSession(graph(kind, kernels), default_options()) for kind in kinds}
    feeds = {"x": x, "kernels": kernels.astype(np.float16)}
    input_names = {kind: [value.name for value in session.get_inputs()] for kind, session in sessions.items()}
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number in range(repeats + 1):
        for kind, session in sessions.items():
            cpu = time.process_time()
            session.run(None, {name: feeds[name] for name in input_names[kind]})
            if number:  # the first of each warms up
                times[kind].append(time.process_time() - cpu)
    medians = {kind: statistics.median(each) for kind, each in times.items()}
    weights_mb = {"convolution": 4, "kernels transformed beforehand": 16, "kernels transformed in the graph": 2}
    return {
        kind: {
            "cpu_seconds": round(seconds, 4),
            "over_convolution": round(seconds / medians["convolution"], 3),
            "bytes_a_weight": weights_mb[kind],
        }
        for kind, seconds in medians.items()
    }
