"""Small random networks with the inputs and outputs of the real ones, and a drawn face that a toy detector sees."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

STRIDES = (8, 16, 32)
ANCHORS = 2

# What marks a face's keypoints in a test picture: BGR, pure.
MARKS = np.array([[0, 0, 255], [0, 255, 0], [255, 0, 0], [0, 255, 255], [255, 0, 255]], np.uint8)

# An upright face's keypoints, the eyes one apart (insightface/utils/face_align.py, arcface_dst).
_UPRIGHT = (
    np.array([[38.29, 51.70], [73.53, 51.50], [56.03, 71.74], [41.55, 92.37], [70.73, 92.20]], np.float32) / 35.24
)


def save_model(path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any]) -> Path:
    stored = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "toy", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=7)
    onnx.save(model, str(path))
    return path


def swapper(path: Path, seed: int = 0) -> Path:
    """inswapper_128's inputs and outputs; every output pixel depends on a neighbourhood and on the latent."""
    rng = np.random.default_rng(seed)
    weights = {
        "conv": (rng.normal(0, 0.06, (3, 3, 7, 7)) + 1 / 147).astype(np.float32),
        "tint": rng.normal(0, 3, (512, 3)).astype(np.float32),
        "emap": rng.normal(0, 1, (512, 512)).astype(np.float32),  # the last one, and no node uses it
    }
    nodes = [
        helper.make_node("Conv", ["target", "conv"], ["blurred"], pads=[3, 3, 3, 3]),
        helper.make_node("MatMul", ["source", "tint"], ["flat"]),
        helper.make_node("Unsqueeze", ["flat"], ["tall"], axes=[2, 3]),
        helper.make_node("Add", ["blurred", "tall"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["output"]),
    ]
    image = [1, 3, 128, 128]
    return save_model(
        path,
        nodes,
        [
            helper.make_tensor_value_info("target", TensorProto.FLOAT, image),
            helper.make_tensor_value_info("source", TensorProto.FLOAT, [1, 512]),
        ],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, image)],
        weights,
    )


def embedder(path: Path, seed: int = 0) -> Path:
    """w600k_r50's input and output."""
    rng = np.random.default_rng(seed)
    weights = {
        "conv": rng.normal(0, 0.1, (8, 3, 16, 16)).astype(np.float32),
        "dense": rng.normal(0, 0.1, (8 * 49, 512)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["input.1", "conv"], ["features"], strides=[16, 16]),
        helper.make_node("Tanh", ["features"], ["bounded"]),
        helper.make_node("Flatten", ["bounded"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["683"]),
    ]
    return save_model(
        path,
        nodes,
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, ["None", 3, 112, 112])],
        [helper.make_tensor_value_info("683", TensorProto.FLOAT, [1, 512])],
        weights,
    )


def classifier(
    path: Path, channel: int = 0, outputs: int = 1, side: int = 32, logits: bool = False, dark: bool = False
) -> Path:
    """A network whose probability is a channel's mean (of RGB, 0 to 1), or one less it; of two outputs the last."""
    image, row = [1, 3, side, side], [1, outputs]
    weights: dict[str, Any] = {"pick": np.zeros((3, outputs), np.float32)}
    weights["pick"][channel, -1] = 5 if logits else 1
    weights["one"] = np.ones(1, np.float32)
    nodes = [
        helper.make_node("Sub", ["one", "picture"], ["light"])
        if dark
        else helper.make_node("Identity", ["picture"], ["light"]),
        helper.make_node("ReduceMean", ["light"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("MatMul", ["means", "pick"], ["probability"]),
    ]
    return save_model(
        path,
        nodes,
        [helper.make_tensor_value_info("picture", TensorProto.FLOAT, image)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, row)],
        weights,
    )


class _Value:
    def __init__(self, name: str, shape: list[Any]) -> None:
        self.name, self.shape = name, shape


class MarkedFaces:
    """A session with SCRFD's nine outputs that sees faces marked by five pure colours, as det_500m sees faces.

    Upright ones are reported with their keypoints, turned ones with an upright face's, at scores of 0.8 to 0.5. Very
    small ones, and those that fill a look of 512 pixels, are not reported.
    """

    UPRIGHT = 50.0  # degrees to which keypoints are right
    SIDES = (12.0, 440.0)  # pixels of the box in the look

    def __init__(self, score: float = 0.9) -> None:
        self.runs = 0
        self.shapes: list[tuple[int, int]] = []
        self._score = score

    def get_inputs(self) -> list[_Value]:
        return [_Value("input.1", [1, 3, "?", "?"])]

    def get_outputs(self) -> list[_Value]:
        widths = [1] * 3 + [4] * 3 + [10] * 3
        return [_Value(str(index), ["?", width]) for index, width in enumerate(widths)]

    def run(self, _: Any, feeds: dict[str, NDArray[np.float32]]) -> list[NDArray[np.float32]]:
        self.runs += 1
        (blob,) = feeds.values()
        height, width = blob.shape[2:]
        self.shapes.append((height, width))
        outputs = [
            np.zeros(((height // stride) * (width // stride) * ANCHORS, columns), np.float32)
            for columns in (1, 4, 10)
            for stride in STRIDES
        ]
        for keypoints in _find_marks(blob[0]):
            self._report(keypoints, height, width, outputs)
        return outputs

    def _report(
        self, keypoints: NDArray[np.float32], height: int, width: int, outputs: list[NDArray[np.float32]]
    ) -> None:
        roll, eyes = _measure(keypoints)
        score = self._score
        if abs(roll) > self.UPRIGHT:
            keypoints = keypoints.mean(0) + (_UPRIGHT - _UPRIGHT.mean(0)) * np.float32(eyes)
            score *= 0.88 - 0.3 * (abs(roll) - self.UPRIGHT) / (180 - self.UPRIGHT)
        middle, side, level = keypoints[2], 3 * eyes, 1
        if not self.SIDES[0] <= side <= self.SIDES[1]:
            return
        stride = STRIDES[level]
        cell = np.clip(np.rint(middle / stride), 0, (width // stride - 1, height // stride - 1))
        at = int(cell[1] * (width // stride) + cell[0]) * ANCHORS
        centre = cell * stride
        low, high = middle - side / 2, middle + side / 2
        outputs[level][at] = score
        outputs[3 + level][at] = np.concatenate([centre - low, high - centre]) / stride
        outputs[6 + level][at] = ((keypoints - centre) / stride).reshape(-1)


def _measure(keypoints: NDArray[np.float32]) -> tuple[float, float]:
    """By how many degrees a face is turned clockwise, and how many pixels its eyes are apart."""
    across = keypoints[1] - keypoints[0]
    return float(np.degrees(np.arctan2(across[1], across[0]))), float(np.hypot(*across))


def _find_marks(planes: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The keypoints [5, 2] of each marked face in SCRFD's input [3, H, W], RGB: each nose with its nearest marks."""
    high, low = (planes > (195 - 127.5) / 128).astype(np.uint8), (planes < (60 - 127.5) / 128).astype(np.uint8)
    marks = [
        np.bitwise_and.reduce([high[c] if level else low[c] for c, level in enumerate(mark[::-1])]) for mark in MARKS
    ]
    x, y, width, height = cv2.boundingRect(np.bitwise_or.reduce(marks))
    parts = [np.ascontiguousarray(mark[y : y + height, x : x + width]) for mark in marks]
    if not all(part.any() for part in parts):
        return []
    middles = [np.add(cv2.connectedComponentsWithStats(part)[3][1:], (x, y)) for part in parts]
    return [
        np.array([each[np.hypot(*(each - nose).T).argmin()] for each in middles], np.float32) for nose in middles[2]
    ]


def draw_marks(pixels: NDArray[np.uint8], keypoints: NDArray[np.float32], radius: int) -> None:
    """Draw the marks of a face into a picture (uint8 BGR)."""
    for (x, y), colour in zip(keypoints, MARKS, strict=True):
        cv2.circle(pixels, (round(float(x)), round(float(y))), radius, tuple(map(int, colour)), -1)


class FixedClassifier:
    """A content filter's session whose output is always the same, or that always fails."""

    def __init__(self, output: Any) -> None:
        self.output = output

    def get_inputs(self) -> list[Any]:
        return [_Value("picture", [1, 3, 32, 32])]

    def run(self, _: Any, feeds: dict[str, Any]) -> list[Any]:
        assert feeds["picture"].shape == (1, 3, 32, 32)
        if isinstance(self.output, Exception):
            raise self.output
        return [np.asarray(self.output, np.float32)]
