"""Runs a network on the native engine by what a pack says of it, to compare the result with onnxruntime's."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

from layers.core.machine import visible_processors
from layers.engine import native_embedder, native_swapper, onnx_embedder, onnx_swapper
from layers.engine.stages import Array, Weights
from layers.models.runtime.manifest import ModelName


def run_native(name: ModelName, description: bytes, weights: Weights, inputs: Mapping[str, Array]) -> Array:
    """The output of the swapper or the embedder; closes the weights. Raises Unavailable or ModelsCorrupt."""
    size, threads = len(weights.memory()), visible_processors()
    with closing(weights):
        if name == "swapper":
            parsed = native_swapper.Description.parse(description, size)
            with closing(native_swapper.NativeSwapper(parsed, weights, threads)) as swapper:
                return swapper.run(inputs[onnx_swapper.TARGET], inputs[onnx_swapper.SOURCE])
        of_embedder = native_embedder.EmbedderDescription.parse(description, size)
        with closing(native_embedder.NativeEmbedder(of_embedder, weights, threads)) as embedder:
            return embedder.run(inputs[onnx_embedder.INPUT])
