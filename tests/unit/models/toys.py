"""Stand-ins of the published networks at a small fraction of the width, converted once per test run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from unittest import mock

from layers.models.runtime.manifest import ModelName
from layers.models.tools import partition
from layers.models.tools.bundle import convert_folder
from layers.models.tools.convert import ConvertedModel, convert_detector, convert_embedder
from tests.support import model_standins as standin


@cache
def files() -> Path:
    """A folder with detector.onnx, embedder.onnx and swapper.onnx."""
    folder = Path(tempfile.mkdtemp(prefix="coldswap-toys-"))
    standin.det_10g(folder / "detector.onnx")
    standin.w600k_r50(folder / "embedder.onnx", width=8, blocks=(1, 1, 1, 1))
    standin.inswapper(folder / "swapper.onnx", "fp16-weights", width=32)
    return folder


@cache
def iresnet() -> Path:
    """An embedder of the family that the native engine knows, and wide enough for it."""
    return standin.w600k_r50(files() / "iresnet.onnx", width=16, blocks=(1, 1, 1, 1))


def convert_iresnet() -> ConvertedModel:
    """The same as a pack holds it, with halves as kernels although it is so narrow."""
    with mock.patch.object(partition, "MIN_HALF_ELEMENTS", 1024):
        return convert_embedder(iresnet())


@cache
def models() -> dict[ModelName, ConvertedModel]:
    """The same as a pack holds them."""
    return convert_folder(files())


@cache
def another_detector(shift: float) -> ConvertedModel:
    """Another detector."""
    return convert_detector(standin.det_10g(files() / "another.onnx", shift))


@cache
def mobilefacenet() -> Path:
    """An embedder whose convolutions are depthwise, as those of buffalo_s are."""
    graph = standin.Graph(7)
    x = graph.conv("input.1", 3, 16, 3, 2, 1)
    x = graph.node("PRelu", [x, graph.normal((16, 1, 1), 0.05, 0.25)])
    weights = [graph.normal((16, 1, 3, 3), 0.3), graph.normal((16,), 0.05)]
    x = graph.node("Conv", [x, *weights], kernel_shape=[3, 3], strides=[8, 8], pads=[1] * 4, group=16)
    x = graph.node("Flatten", [x], axis=1)
    weights = [graph.normal((512, 16 * 49), 0.05), graph.normal((512,), 0.05)]
    graph.leave(graph.node("Gemm", [x, *weights], transB=1), "516")
    path = files() / "mobilefacenet.onnx"
    graph.save(path, {"input.1": ["None", 3, 112, 112]}, {"516": ["None", 512]})
    return path
