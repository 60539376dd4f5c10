"""Stand-ins of the published networks at a small fraction of the width, lowered once per test run."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from layers.models.built import lower_pack
from layers.models.lower import Lowered
from layers.models.manifest import ModelName
from tests.bench import standin


@cache
def files() -> Path:
    """A folder with detector.onnx, embedder.onnx and swapper.onnx."""
    folder = Path(tempfile.mkdtemp(prefix="coldswap-toys-"))
    standin.det_10g(folder / "detector.onnx")
    standin.w600k_r50(folder / "embedder.onnx", width=8, blocks=(1, 1, 1, 1))
    standin.inswapper(folder / "swapper.onnx", "fp16-weights", width=32)
    return folder


@cache
def lowered() -> dict[ModelName, Lowered]:
    """The same as a pack holds them."""
    return lower_pack(files())
