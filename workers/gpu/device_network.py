"""Runs a network in stages on a GPU, all of whose weights stay there; on the processor where there is none.

The stages are those of the pack (layers/engine/stages.py), so that the GPU computes what the functions compute. Weights
are kept in fp16 and widened as they are used, which a batch pays once.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from layers.engine.session import import_onnxruntime
from layers.engine.stages import Array, StagePlan

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
# TF32 has 10 bits of mantissa where fp32 has 23: results would differ from the functions' by more than 60 dB allow.
# The exhaustive search for an algorithm would run again for each new batch size.
CUDA_OPTIONS = {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}


def choose_device() -> str:
    """`cuda` where onnxruntime can use one, `cpu` elsewhere.

    A build for CUDA lists its provider on every machine, so it is tried.
    """
    onnxruntime = import_onnxruntime()
    if CUDA not in onnxruntime.get_available_providers():
        return "cpu"
    onnxruntime.preload_dlls()  # NVIDIA's libraries lie in packages beside it, where no linker looks
    try:
        onnxruntime.OrtValue.ortvalue_from_numpy(np.zeros(1, np.float32), "cuda")
    except Exception:  # onnxruntime has no narrower one
        return "cpu"
    return "cuda"


class DeviceNetwork:
    """A network whose weights lie on the device."""

    def __init__(self, plan: StagePlan, weights: memoryview, device: str, threads: int = 0) -> None:
        """`weights`: the flat file, which may be given back afterwards; `threads` of the processor, 0 for all."""
        self._device = device
        self._stages = plan.stages
        self._sessions = [_make_session(graph, device, threads) for graph in plan.graphs]
        self._weights = [
            {
                weight.input: self._to_device(
                    np.frombuffer(weights[weight.offset : weight.end], weight.dtype).reshape(weight.shape)
                )
                for weight in stage.weights
            }
            for stage in plan.stages
        ]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network on a batch; returns its outputs by name, in the processor's memory."""
        alive = {name: self._to_device(value) for name, value in inputs.items()}
        for stage, weights in zip(self._stages, self._weights, strict=True):
            session = self._sessions[stage.graph]
            binding = session.io_binding()
            for name, tensor in stage.inputs.items():
                binding.bind_ortvalue_input(name, alive[tensor])
            for name, weight in weights.items():
                binding.bind_ortvalue_input(name, weight)
            for name in stage.outputs:
                binding.bind_output(name, self._device)
            session.run_with_iobinding(binding)
            alive.update(zip(stage.outputs.values(), binding.get_outputs(), strict=True))
            for tensor in stage.last_uses:
                del alive[tensor]
        return {name: value.numpy() for name, value in alive.items()}

    def _to_device(self, value: Array) -> Any:
        # On the processor a value is not copied but shared, and the flat file is given back.
        mine = np.array(value) if self._device == "cpu" else np.ascontiguousarray(value)
        return import_onnxruntime().OrtValue.ortvalue_from_numpy(mine, self._device)


def _make_session(graph: bytes, device: str, threads: int) -> Any:
    """A session of a stage's graph, which is not optimised: folding would widen and copy the weights."""
    onnxruntime = import_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    providers = [(CUDA, CUDA_OPTIONS), CPU] if device == "cuda" else [CPU]
    return onnxruntime.InferenceSession(graph, options, providers=providers)
