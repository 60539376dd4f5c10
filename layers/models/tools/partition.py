"""Partitions a network into the stages that the engine runs: small graphs beside one flat file of fp16 weights.

The arithmetic is always fp32: on x86 onnxruntime has no fp16 convolution, and would keep an fp32 copy of every weight.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layers.engine.native_embedder import EmbedderDescription
from layers.engine.native_swapper import Description
from layers.engine.stages import ALIGNMENT, Array, Stage, StagePlan, Weight
from layers.models.tools.onnx_file import FIRST_WITHOUT_INPUTS, Unfit, to_float
from layers.models.tools.recognise_inswapper import recognise_inswapper
from layers.models.tools.recognise_iresnet import recognise_iresnet

STAGE_BYTES = 8 << 20  # a stage ends with the layer that brings its weights to this size
MAX_ALIVE = 2  # tensors handed from stage to stage: a residual block's input, and its result so far
MIN_FLAT_ELEMENTS = 64  # smaller tensors stay in the graph
MIN_HALF_ELEMENTS = 4096  # matrices and kernels of this size are stored as fp16; biases and slopes stay fp32
HALF_AND_FLOAT = {TensorProto.FLOAT16, TensorProto.FLOAT}


@dataclass(frozen=True)
class PartitionedNetwork:
    """A network in stages."""

    plan: StagePlan
    weights: bytearray  # the flat file
    last: Array | None  # the last initializer, if no node uses it: inswapper's embedding map
    exact: bool  # whether the original computes in fp32 with weights that the flat file holds unrounded
    native: Description | EmbedderDescription | None  # for the native engine, if it knows networks like this one


@dataclass
class _Network:
    """A graph without its constants: nodes in order of demand, fp32 throughout."""

    nodes: list[Any]
    constants: dict[str, Array]
    types: dict[str, int]
    half: bool  # whether the original computes in fp16
    inputs: list[str]
    output: str
    model: Any


def partition_network(model: Any, input_names: tuple[str, ...], output_name: str) -> PartitionedNetwork:
    """Partition a model (a ModelProto of onnx_file.load), whose inputs and output get these names.

    Raises Unfit.
    """
    network, last = _read_network(model)
    names = _Names(dict(zip(network.inputs, input_names, strict=True)) | {network.output: output_name})
    flat = _FlatFile(network.constants)
    last_uses = {name: position for position, node in enumerate(network.nodes) for name in node.input}
    last_uses[network.output] = len(network.nodes)
    in_runner = set(network.inputs)  # tensors that the runner holds when a stage begins
    stages: list[Stage] = []
    graphs: dict[bytes, int] = {}
    nodes: list[Any] = []
    alive: set[str] = set()
    for position, node in enumerate(network.nodes):
        nodes.append(node)
        alive = {name for name in alive | set(node.output) if last_uses.get(name, -1) > position}
        full = sum(flat.size(name) for name in {name for node in nodes for name in node.input}) >= STAGE_BYTES
        if position + 1 < len(network.nodes) and not (full and len(alive) <= MAX_ALIVE):
            continue
        graph, weights, inputs, outputs = _build_stage(network, nodes, alive, flat, names)
        in_runner |= alive
        finished = {name for name in in_runner if last_uses.get(name, -1) <= position}
        in_runner -= finished
        number = graphs.setdefault(graph, len(graphs))
        stages.append(Stage(number, weights, inputs, outputs, tuple(sorted(map(names, finished)))))
        nodes = []
    contents = network.nodes, network.constants, flat.places
    native = recognise_inswapper(*contents) or recognise_iresnet(*contents)
    return PartitionedNetwork(
        StagePlan(tuple(stages), tuple(graphs)), flat.data, last, not (network.half or flat.rounded), native
    )


def _read_network(model: Any) -> tuple[_Network, Array | None]:
    graph = model.graph
    last = graph.initializer[-1].name if graph.initializer else ""
    types = _infer_types(model)
    constants: dict[str, Array] = {}
    while graph.initializer:  # moved one by one, so that the weights are not in memory twice
        tensor = graph.initializer.pop()
        constants[tensor.name] = numpy_helper.to_array(tensor)
    outputs = [value.name for value in graph.output]
    inputs = [value.name for value in graph.input if value.name not in constants]
    alias: dict[str, str] = {}
    producers: dict[str, Any] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = alias.get(name, name)
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant_value(node)
        elif _is_no_op(node, types) and node.output[0] not in outputs:
            alias[node.output[0]] = node.input[0]
        else:
            to_float(node)
            producers.update(dict.fromkeys(node.output, node))
    consumed = {name for node in producers.values() for name in node.input}
    leftover = constants[last] if last in constants and last not in consumed else None
    floats = {name: TensorProto.FLOAT if kind == TensorProto.FLOAT16 else kind for name, kind in types.items()}
    nodes = _order_by_demand(outputs, producers)
    half = any(
        kind == TensorProto.FLOAT16 for name, kind in types.items() if name not in constants.keys() | alias.keys()
    )
    return _Network(nodes, constants, floats, half, inputs, outputs[0], model), leftover


def _infer_types(model: Any) -> dict[str, int]:
    """Element types by tensor name, as far as ONNX can infer them; reads no weights."""
    bare = onnx.ModelProto()
    bare.ir_version = max(model.ir_version, FIRST_WITHOUT_INPUTS)
    bare.opset_import.extend(model.opset_import)
    bare.graph.name = "bare"
    bare.graph.node.extend(model.graph.node)
    bare.graph.output.extend(model.graph.output)
    stored = {tensor.name for tensor in model.graph.initializer}
    bare.graph.input.extend(value for value in model.graph.input if value.name not in stored)
    for tensor in model.graph.initializer:
        small = int(np.prod(tensor.dims, dtype=np.int64)) < MIN_FLAT_ELEMENTS
        if small:
            bare.graph.initializer.append(tensor)
        else:
            bare.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    try:
        onnx.checker.check_model(bare)
        inferred = onnx.shape_inference.infer_shapes(bare).graph
    except Exception as error:  # onnx raises classes of its own, and RuntimeError
        raise Unfit(f"not a valid ONNX graph: {error}") from error
    types = {value.name: value.type.tensor_type.elem_type for value in [*inferred.value_info, *inferred.input]}
    return types | {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def _constant_value(node: Any) -> Array:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        raise Unfit(f"a constant of kind {attribute.name}")
    return np.asarray(value, kinds[attribute.name])


def _is_no_op(node: Any, types: Mapping[str, int]) -> bool:
    """Whether a node is an Identity, or a Cast between fp16 and fp32: everything is fp32 here."""
    if node.op_type == "Cast":
        to = next(attribute.i for attribute in node.attribute if attribute.name == "to")
        return to in HALF_AND_FLOAT and types.get(node.input[0]) in HALF_AND_FLOAT
    return bool(node.op_type == "Identity")


def _order_by_demand(outputs: list[str], producers: Mapping[str, Any]) -> list[Any]:
    """Order nodes so that each comes just before what needs it, and weights lie in order of use; drop dead nodes."""
    ordered: list[Any] = []
    ordered_ids: set[int] = set()
    waiting = [(producers[name], False) for name in reversed(outputs)]
    while waiting:
        node, inputs_done = waiting.pop()
        if id(node) in ordered_ids:
            continue
        if inputs_done:
            ordered_ids.add(id(node))
            ordered.append(node)
            continue
        waiting.append((node, True))
        waiting.extend((producers[name], False) for name in reversed(node.input) if name in producers)
    return ordered


class _Names:
    """Short names for tensors handed from stage to stage; the network's inputs and output keep their public ones."""

    def __init__(self, public: Mapping[str, str]) -> None:
        self._names = dict(public)

    def __call__(self, tensor: str) -> str:
        return self._names.setdefault(tensor, str(len(self._names)))


class _FlatFile:
    """The flat file of weights, filled in order of use."""

    def __init__(self, constants: Mapping[str, Array]) -> None:
        self.data = bytearray()
        self._constants = constants
        self.places: dict[str, tuple[int, str]] = {}  # of constants by name: offset in bytes, dtype
        self.rounded = False  # whether fp16 changed a value

    def holds(self, name: str) -> bool:
        """Whether this constant belongs in the file rather than in a graph."""
        value = self._constants.get(name)
        return value is not None and value.dtype.kind == "f" and value.size >= MIN_FLAT_ELEMENTS

    def size(self, name: str) -> int:
        """Bytes of a constant in the file; 0 for one that does not belong there."""
        if not self.holds(name):
            return 0
        value = self._constants[name]
        return value.size * np.dtype(stored_dtype(value)).itemsize

    def weight(self, name: str, input: str) -> Weight:
        """Where a constant lies in the file; the first call writes it there."""
        value = self._constants[name]
        dtype = stored_dtype(value)
        if name not in self.places:
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(value, dtype)
            if not np.isfinite(stored).all():
                raise Unfit(f"{name} has values that fp16 cannot hold")
            self.rounded |= stored.dtype != value.dtype and not np.array_equal(stored, value)
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self.places[name] = len(self.data), dtype
            self.data.extend(stored.data.cast("B"))
        return Weight(input, dtype, value.shape, self.places[name][0])


def stored_dtype(value: Array) -> str:
    """NumPy's name of the type in which the flat file stores a floating-point weight."""
    return "float16" if value.ndim >= 2 and value.size >= MIN_HALF_ELEMENTS else "float32"


def _build_stage(
    network: _Network, nodes: list[Any], alive: set[str], flat: _FlatFile, names: Callable[[str], str]
) -> tuple[bytes, tuple[Weight, ...], dict[str, str], dict[str, str]]:
    """Build a stage as a graph of its own; return the graph, its weights, and its inputs and outputs as in Stage.

    Tensors are numbered in order of appearance, so that equal layers give equal graphs, and share a session.
    """
    local: dict[str, str] = {}
    weights: list[Weight] = []
    inputs: dict[str, str] = {}
    values, constants, body = [], [], []
    produced = {name for node in nodes for name in node.output}

    def use(name: str) -> str:
        if name in local or not name:
            return local.get(name, "")
        local[name] = short = f"v{len(local)}"
        if flat.holds(name):
            weight = flat.weight(name, short)
            if weight.dtype == "float16":
                weight = replace(weight, input=f"{short}h")
                values.append(helper.make_tensor_value_info(weight.input, TensorProto.FLOAT16, weight.shape))
                body.append(helper.make_node("Cast", [weight.input], [short], to=TensorProto.FLOAT))
            else:
                values.append(helper.make_tensor_value_info(short, TensorProto.FLOAT, weight.shape))
            weights.append(weight)
        elif name in network.constants:
            value = network.constants[name]
            value = value.astype(np.float32) if value.dtype == np.float16 else value
            constants.append(numpy_helper.from_array(np.ascontiguousarray(value), short))
        elif name not in produced:
            inputs[short] = names(name)
            values.append(helper.make_tensor_value_info(short, _element_type(network, name), None))
        return short

    for node in nodes:
        node_inputs = [use(name) for name in node.input]
        results = [local.setdefault(name, f"v{len(local)}") if name else "" for name in node.output]
        copy = helper.make_node(node.op_type, node_inputs, results)
        copy.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
        body.append(copy)
    handed_on = [name for name in local if name in alive & produced]
    outputs = {local[name]: names(name) for name in handed_on}
    results_info = [
        helper.make_tensor_value_info(local[name], _element_type(network, name), None) for name in handed_on
    ]
    graph = helper.make_graph(body, "stage", values, results_info, constants)
    model = helper.make_model(graph, opset_imports=network.model.opset_import, ir_version=network.model.ir_version)
    return model.SerializeToString(deterministic=True), tuple(weights), inputs, outputs


def _element_type(network: _Network, name: str) -> int:
    kind = TensorProto.FLOAT if name == network.output else network.types.get(name)
    if not kind:
        raise Unfit(f"the type of {name} cannot be inferred")
    return int(kind)
