"""Loads ONNX files from anywhere without trusting them: no external data, sub-graphs or foreign operators, and bounded
sizes. Only a file that refers to nothing outside itself is given to onnxruntime.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layers.engine.session import import_onnxruntime, session_options
from layers.engine.stages import Array
from layers.models.runtime.manifest import Contract, Tensor

MAX_FILE_BYTES = 1 << 30
FIRST_WITHOUT_INPUTS = 4  # the ONNX IR version from which weights need not be inputs, too


class Unfit(ValueError):
    """A file is not the network that it should be, or cannot be converted without changing its results."""


def load(path: Path) -> Any:
    """Load a ModelProto that refers to nothing outside itself. Raises Unfit, or OSError."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Unfit(f"{path.name} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which lives in a private module
        raise Unfit(f"{path.name} is not an ONNX file") from error
    if any(node.domain not in ("", "ai.onnx") for node in model.graph.node) or model.functions:
        raise Unfit(f"{path.name} uses operators that are not ONNX's own")
    for entry in reversed(model.opset_import):  # exporters list more than they use
        if entry.domain not in ("", "ai.onnx"):
            model.opset_import.remove(entry)
    for tensor in model.graph.initializer:
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise Unfit(f"{path.name} keeps weights in other files")
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g") or attribute.graphs:
                raise Unfit(f"{path.name} has branches or loops")
            if attribute.HasField("t") and (attribute.t.external_data or attribute.t.data_location):
                raise Unfit(f"{path.name} keeps weights in other files")
    if model.graph.sparse_initializer:
        raise Unfit(f"{path.name} has sparse weights")
    return model


def read_contract(model: Any) -> Contract:
    """The inputs and outputs of a model. Raises Unfit unless all are float32."""
    stored = {tensor.name for tensor in model.graph.initializer}

    def tensors(values: Iterable[Any]) -> tuple[Tensor, ...]:
        result = []
        for value in values:
            kind = value.type.tensor_type
            if kind.elem_type != TensorProto.FLOAT:
                raise Unfit(f"{value.name} is not float32")
            shape = tuple(side.dim_value if side.HasField("dim_value") else side.dim_param for side in kind.shape.dim)
            result.append(Tensor(value.name, "float32", shape))
        return tuple(result)

    inputs = [value for value in model.graph.input if value.name not in stored]  # IR 3 lists weights as inputs too
    return Contract(tensors(inputs), tensors(model.graph.output))


def run_reference(path: Path, inputs: Mapping[str, Array], model: bytes | None = None) -> dict[str, Array]:
    """Outputs of the file, or of `model`, which was made from it, by plain onnxruntime. Raises Unfit."""
    onnxruntime = import_onnxruntime()
    options = session_options(0)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(model or str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime has a class of its own for each cause, in a private module
        raise Unfit(f"onnxruntime cannot run {path.name}: {error}") from error


def read_attribute(node: Any, name: str, default: Any) -> Any:
    """The value of a node's attribute: a number, bytes, or a list of them. Raises Unfit for one without a type."""
    for attribute in node.attribute:
        if attribute.name == name:
            try:
                return helper.get_attribute_value(attribute)
            except ValueError as error:
                raise Unfit(f"the attribute {name} of {node.op_type} cannot be read") from error
    return default


def to_float(node: Any) -> None:
    """Turn fp16 in a node's attributes into fp32."""
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
        if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(attribute.t).astype(np.float32)
            attribute.t.CopyFrom(numpy_helper.from_array(value, attribute.t.name))


def serialise_in_float(model: Any, stored_dtype: Callable[[Array], str]) -> bytes:
    """Serialise the same graph, computing in fp32 with weights as a pack stores them. The model is consumed.

    `stored_dtype` returns the type that a weight is rounded to. Raises Unfit.
    """
    stored = {tensor.name for tensor in model.graph.initializer}
    for value in [value for value in model.graph.input if value.name in stored]:  # these have the old types
        model.graph.input.remove(value)
    model.ir_version = max(model.ir_version, FIRST_WITHOUT_INPUTS)
    for tensor in model.graph.initializer:
        if tensor.data_type in (TensorProto.FLOAT, TensorProto.FLOAT16):
            weight = numpy_helper.to_array(tensor)
            rounded = weight.astype(stored_dtype(weight)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(rounded, tensor.name))
    for node in model.graph.node:
        to_float(node)
    del model.graph.value_info[:]
    try:
        return bytes(model.SerializeToString())
    except Exception as error:  # protobuf's own, beyond 2 GB
        raise Unfit("in fp32 the network is larger than an ONNX file can be") from error
