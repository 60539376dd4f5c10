"""Turns published ONNX files into what a pack holds: networks in stages beside flat fp16 weights.

Files come from anywhere, so nothing in them is trusted: no external data, no sub-graphs, no foreign operators, sizes
bounded; and a network that does not give the original's results on a golden vector is refused. The arithmetic is always
fp32: on x86 onnxruntime has no fp16 convolution, and would keep an fp32 copy of every weight.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from layers.engine import onnx_embedder, onnx_swapper
from layers.engine.session import session_options
from layers.engine.stages import ALIGNMENT, Array, Plan, Stage, StagedNetwork, Weight
from layers.models.manifest import Contract, Kind, Tensor
from layers.models.pack import EMAP, FILE, PLAN, WEIGHTS

MAX_FILE_BYTES = 1 << 30
STAGE_BYTES = 8 << 20  # a stage ends with the layer that brings its weights to this much
MAX_ALIVE = 2  # tensors handed from stage to stage: a residual block's input, and what it has made of it
FLAT_ELEMENTS = 64  # smaller tensors stay in the graph
HALF_ELEMENTS = 4096  # matrices and kernels of this size are stored as fp16; biases and slopes stay fp32
# Between the original and what the pack holds. 80 dB where nothing is rounded: fp32 arithmetic on weights that fp16
# holds exactly. Otherwise the original computes in fp16, or its weights are rounded: 60 dB is a quarter of a level.
MIN_PSNR_DB, MIN_ROUNDED_PSNR_DB = 80.0, 60.0
MIN_COSINE = 0.9999
HALF_AND_FLOAT = {TensorProto.FLOAT16, TensorProto.FLOAT}


class Unfit(ValueError):
    """A file that is not the network it should be, or cannot be turned into a pack without changing its results."""


@dataclass(frozen=True)
class Lowered:
    """A model, ready to be published."""

    kind: Kind
    contract: Contract
    blobs: dict[str, bytes | bytearray]
    golden: bytes  # .npz: inputs and outputs by name, and the tolerance


def lower_detector(path: Path) -> Lowered:
    """A detector of the SCRFD family: small, so it stays the file it is."""
    model = _load(path)
    contract = _contract(model)
    if len(contract.inputs) != 1 or len(contract.outputs) not in (6, 9, 10, 15):
        raise Unfit(f"{path.name} has not the outputs of an SCRFD detector")
    data = path.read_bytes()
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 128, 128)).astype(np.float32)
    inputs = {contract.inputs[0].name: crop}
    outputs = _reference(path, inputs)
    return Lowered("onnx", contract, {FILE: data}, _golden(inputs, outputs, max_difference=1e-3))


def lower_embedder(path: Path) -> Lowered:
    """w600k_r50, or another network from one crop [N, 3, 112, 112] to an embedding [N, 512]."""
    contract = _contract(_load(path))
    if len(contract.inputs) != 1 or len(contract.outputs) != 1 or contract.inputs[0].shape[1:] != (3, 112, 112):
        raise Unfit(f"{path.name} does not take one crop of 112 x 112")
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    expected = _reference(path, {contract.inputs[0].name: crop})[contract.outputs[0].name]
    if expected.shape != (1, 512):
        raise Unfit(f"{path.name} does not give embeddings of 512 numbers")
    plan, weights, _, _ = _stages(_load(path), (onnx_embedder.INPUT,), onnx_embedder.OUTPUT)
    made = _run(plan, weights, {onnx_embedder.INPUT: crop})[onnx_embedder.OUTPUT]
    cosine = float(np.sum(made * expected) / (np.linalg.norm(made) * np.linalg.norm(expected)))
    if not cosine >= MIN_COSINE:
        raise Unfit(f"{path.name}: in fp16 the embedding's cosine to the original is {cosine:.6f}")
    blobs: dict[str, bytes | bytearray] = {PLAN: plan.dump(), WEIGHTS: weights}
    golden = _golden({onnx_embedder.INPUT: crop}, {onnx_embedder.OUTPUT: expected}, min_cosine=MIN_COSINE)
    return Lowered("onnx-stages", contract, blobs, golden)


def lower_swapper(path: Path) -> Lowered:
    """inswapper_128, in fp32, in fp16, or with fp16 weights and fp32 arithmetic; its embedding map goes apart."""
    contract = _contract(_load(path))
    shapes = [tensor.shape for tensor in contract.inputs]
    if shapes != [(1, 3, 128, 128), (1, 512)] or len(contract.outputs) != 1:
        raise Unfit(f"{path.name} does not take a crop of 128 x 128 and a latent")
    random = np.random.default_rng(0)
    source = random.standard_normal((1, 512)).astype(np.float32)
    inputs = {
        onnx_swapper.TARGET: random.random((1, 3, 128, 128), np.float32),
        onnx_swapper.SOURCE: source / np.linalg.norm(source),
    }
    names = [tensor.name for tensor in contract.inputs]
    expected = _reference(path, dict(zip(names, inputs.values(), strict=True)))[contract.outputs[0].name]
    plan, weights, emap, rounded = _stages(_load(path), tuple(inputs), onnx_swapper.OUTPUT)
    if emap is None or emap.shape != (512, 512):
        raise Unfit(f"{path.name} does not end with an embedding map of 512 x 512")
    made = _run(plan, weights, inputs)[onnx_swapper.OUTPUT]
    error = float(np.mean((made.astype(np.float64) - expected) ** 2))
    psnr = -10 * np.log10(error) if error else np.inf
    least = MIN_ROUNDED_PSNR_DB if rounded else MIN_PSNR_DB
    if not psnr >= least:
        raise Unfit(f"{path.name}: what the pack would hold is {psnr:.1f} dB from the original, not {least:.0f}")
    blobs: dict[str, bytes | bytearray] = {PLAN: plan.dump(), WEIGHTS: weights, EMAP: emap.astype("<f4").tobytes()}
    golden = _golden(inputs, {onnx_swapper.OUTPUT: expected}, min_psnr_db=least)
    return Lowered("onnx-stages", contract, blobs, golden)


def _load(path: Path) -> Any:
    """A ModelProto that refers to nothing outside itself."""
    if path.stat().st_size > MAX_FILE_BYTES:
        raise Unfit(f"{path.name} is larger than {MAX_FILE_BYTES >> 20} MiB")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which lives in a private module
        raise Unfit(f"{path.name} is not an ONNX file") from error
    if any(node.domain not in ("", "ai.onnx") for node in model.graph.node) or model.functions:
        raise Unfit(f"{path.name} uses operators that are not ONNX's own")
    for entry in reversed(model.opset_import):  # converters list more than they use
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


def _contract(model: Any) -> Contract:
    stored = {tensor.name for tensor in model.graph.initializer}

    def tensors(values: Iterable[Any]) -> tuple[Tensor, ...]:
        made = []
        for value in values:
            kind = value.type.tensor_type
            if kind.elem_type != TensorProto.FLOAT:
                raise Unfit(f"{value.name} is not float32")
            shape = tuple(side.dim_value if side.HasField("dim_value") else side.dim_param for side in kind.shape.dim)
            made.append(Tensor(value.name, "float32", shape))
        return tuple(made)

    inputs = [value for value in model.graph.input if value.name not in stored]  # IR 3 lists weights as inputs too
    return Contract(tensors(inputs), tensors(model.graph.output))


def _reference(path: Path, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """What the file itself gives, by plain onnxruntime."""
    import onnxruntime

    options = session_options(0)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        return dict(zip(names, session.run(names, dict(inputs)), strict=True))
    except Exception as error:  # onnxruntime has a class of its own for each cause, in a private module
        raise Unfit(f"onnxruntime does not run {path.name}: {error}") from error


def _golden(inputs: Mapping[str, Array], outputs: Mapping[str, Array], **tolerance: float) -> bytes:
    arrays: dict[str, Any] = {f"input:{name}": value for name, value in inputs.items()}
    arrays |= {f"output:{name}": value for name, value in outputs.items()}
    arrays |= {name: np.float32(value) for name, value in tolerance.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


class _Memory:
    """Weights that are all here."""

    def __init__(self, data: bytearray) -> None:
        self._data = data

    def wait(self, upto: int | None = None) -> memoryview:
        return memoryview(self._data)[:upto]

    def close(self) -> None:
        pass


def _run(plan: Plan, weights: bytearray, inputs: Mapping[str, Array]) -> dict[str, Array]:
    return StagedNetwork(plan, _Memory(weights), 0).run(inputs)


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


def _stages(model: Any, input_names: tuple[str, ...], output_name: str) -> tuple[Plan, bytearray, Array | None, bool]:
    """The plan, the flat weights, the last initializer if no node uses it (inswapper's embedding map), and whether the
    original's results can only be met up to rounding."""
    network, last = _network(model)
    names = _Names(dict(zip(network.inputs, input_names, strict=True)) | {network.output: output_name})
    flat = _Flat(network.constants)
    last_use = {name: place for place, node in enumerate(network.nodes) for name in node.input}
    last_use[network.output] = len(network.nodes)
    known = set(network.inputs)  # what the runner holds when a stage begins
    stages: list[Stage] = []
    graphs: dict[bytes, int] = {}
    nodes: list[Any] = []
    alive: set[str] = set()
    for place, node in enumerate(network.nodes):
        nodes.append(node)
        alive = {name for name in alive | set(node.output) if last_use.get(name, -1) > place}
        full = sum(flat.size(name) for name in {name for node in nodes for name in node.input}) >= STAGE_BYTES
        if place + 1 < len(network.nodes) and not (full and len(alive) <= MAX_ALIVE):
            continue
        graph, weights, inputs, outputs = _stage(network, nodes, alive, flat, names)
        known |= alive
        over = {name for name in known if last_use.get(name, -1) <= place}
        known -= over
        number = graphs.setdefault(graph, len(graphs))
        stages.append(Stage(number, weights, inputs, outputs, tuple(sorted(map(names, over)))))
        nodes = []
    return Plan(tuple(stages), tuple(graphs)), flat.data, last, network.half or flat.rounded


def _network(model: Any) -> tuple[_Network, Array | None]:
    graph = model.graph
    last = graph.initializer[-1].name if graph.initializer else ""
    types = _types(model)
    constants: dict[str, Array] = {}
    while graph.initializer:  # taken out one by one, so that the weights are not in memory twice
        tensor = graph.initializer.pop()
        constants[tensor.name] = numpy_helper.to_array(tensor)
    outputs = [value.name for value in graph.output]
    inputs = [value.name for value in graph.input if value.name not in constants]
    alias: dict[str, str] = {}
    makers: dict[str, Any] = {}
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = alias.get(name, name)
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
        elif _changes_nothing(node, types) and node.output[0] not in outputs:
            alias[node.output[0]] = node.input[0]
        else:
            _to_float(node)
            makers.update(dict.fromkeys(node.output, node))
    used = {name for node in makers.values() for name in node.input}
    unused = constants[last] if last in constants and last not in used else None
    floats = {name: TensorProto.FLOAT if kind == TensorProto.FLOAT16 else kind for name, kind in types.items()}
    nodes = _in_order_of_demand(outputs, makers)
    half = any(
        kind == TensorProto.FLOAT16 for name, kind in types.items() if name not in constants.keys() | alias.keys()
    )
    return _Network(nodes, constants, floats, half, inputs, outputs[0], model), unused


def _types(model: Any) -> dict[str, int]:
    """Element type by the tensor's name, as far as ONNX can infer it; looks at no weight."""
    bare = onnx.ModelProto()
    bare.ir_version = model.ir_version
    bare.opset_import.extend(model.opset_import)
    bare.graph.name = "bare"
    bare.graph.node.extend(model.graph.node)
    bare.graph.output.extend(model.graph.output)
    stored = {tensor.name for tensor in model.graph.initializer}
    bare.graph.input.extend(value for value in model.graph.input if value.name not in stored)
    for tensor in model.graph.initializer:
        small = int(np.prod(tensor.dims, dtype=np.int64)) < FLAT_ELEMENTS
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


def _constant(node: Any) -> Array:
    attribute = node.attribute[0]
    value = helper.get_attribute_value(attribute)
    if attribute.name == "value":
        return np.asarray(numpy_helper.to_array(value))
    kinds = {"value_float": np.float32, "value_floats": np.float32, "value_int": np.int64, "value_ints": np.int64}
    if attribute.name not in kinds:
        raise Unfit(f"a constant of kind {attribute.name}")
    return np.asarray(value, kinds[attribute.name])


def _changes_nothing(node: Any, types: Mapping[str, int]) -> bool:
    """Identity, and Casts between fp16 and fp32: everything is fp32 here."""
    if node.op_type == "Cast":
        to = next(attribute.i for attribute in node.attribute if attribute.name == "to")
        return to in HALF_AND_FLOAT and types.get(node.input[0]) in HALF_AND_FLOAT
    return bool(node.op_type == "Identity")


def _to_float(node: Any) -> None:
    """fp16 in a node's attributes becomes fp32."""
    for attribute in node.attribute:
        if attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT16:
            attribute.i = TensorProto.FLOAT
        if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT16:
            value = numpy_helper.to_array(attribute.t).astype(np.float32)
            attribute.t.CopyFrom(numpy_helper.from_array(value, attribute.t.name))


def _in_order_of_demand(outputs: list[str], makers: Mapping[str, Any]) -> list[Any]:
    """Each node just before what needs it, so that weights lie in the file where they are used; dead ones go."""
    ordered: list[Any] = []
    done: set[int] = set()
    waiting = [(makers[name], False) for name in reversed(outputs)]
    while waiting:
        node, inputs_done = waiting.pop()
        if id(node) in done:
            continue
        if inputs_done:
            done.add(id(node))
            ordered.append(node)
            continue
        waiting.append((node, True))
        waiting.extend((makers[name], False) for name in reversed(node.input) if name in makers)
    return ordered


class _Names:
    """Short names for tensors handed from stage to stage; the network's inputs and output keep their public ones."""

    def __init__(self, public: Mapping[str, str]) -> None:
        self._names = dict(public)

    def __call__(self, tensor: str) -> str:
        return self._names.setdefault(tensor, str(len(self._names)))


class _Flat:
    """The flat file of weights, filled in order of use."""

    def __init__(self, constants: Mapping[str, Array]) -> None:
        self.data = bytearray()
        self._constants = constants
        self._at: dict[str, int] = {}
        self.rounded = False  # whether fp16 changed a value

    def holds(self, name: str) -> bool:
        """Whether this constant belongs into the file rather than into a graph."""
        value = self._constants.get(name)
        return value is not None and value.dtype.kind == "f" and value.size >= FLAT_ELEMENTS

    def size(self, name: str) -> int:
        """Bytes in the file; 0 for what does not belong there."""
        if not self.holds(name):
            return 0
        value = self._constants[name]
        return value.size * np.dtype(self._dtype(value)).itemsize

    def weight(self, name: str, input: str) -> Weight:
        """Where it is; written there the first time it is asked for."""
        value = self._constants[name]
        dtype = self._dtype(value)
        if name not in self._at:
            with np.errstate(over="ignore"):
                stored = np.ascontiguousarray(value, dtype)
            if not np.isfinite(stored).all():
                raise Unfit(f"{name} has values that fp16 cannot hold")
            self.rounded |= stored.dtype != value.dtype and not np.array_equal(stored, value)
            self.data.extend(bytes(-len(self.data) % ALIGNMENT))
            self._at[name] = len(self.data)
            self.data.extend(stored.data.cast("B"))
        return Weight(input, dtype, value.shape, self._at[name])

    @staticmethod
    def _dtype(value: Array) -> str:
        return "float16" if value.ndim >= 2 and value.size >= HALF_ELEMENTS else "float32"


def _stage(
    network: _Network, nodes: list[Any], alive: set[str], flat: _Flat, names: Callable[[str], str]
) -> tuple[bytes, tuple[Weight, ...], dict[str, str], dict[str, str]]:
    """One stage as a graph of its own: the graph, its weights, and its inputs and outputs as Stage has them.

    Its tensors are numbered in order of appearance, so that equal layers give equal graphs, and share a session.
    """
    local: dict[str, str] = {}
    weights: list[Weight] = []
    inputs: dict[str, str] = {}
    values, constants, body = [], [], []
    made = {name for node in nodes for name in node.output}

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
        elif name not in made:
            inputs[short] = names(name)
            values.append(helper.make_tensor_value_info(short, _type(network, name), None))
        return short

    for node in nodes:
        used = [use(name) for name in node.input]
        results = [local.setdefault(name, f"v{len(local)}") if name else "" for name in node.output]
        copy = helper.make_node(node.op_type, used, results)
        copy.attribute.extend(sorted(node.attribute, key=lambda attribute: attribute.name))
        body.append(copy)
    kept = [name for name in local if name in alive & made]
    outputs = {local[name]: names(name) for name in kept}
    results_info = [helper.make_tensor_value_info(local[name], _type(network, name), None) for name in kept]
    graph = helper.make_graph(body, "stage", values, results_info, constants)
    model = helper.make_model(graph, opset_imports=network.model.opset_import, ir_version=network.model.ir_version)
    return model.SerializeToString(deterministic=True), tuple(weights), inputs, outputs


def _type(network: _Network, name: str) -> int:
    kind = TensorProto.FLOAT if name == network.output else network.types.get(name)
    if not kind:
        raise Unfit(f"the type of {name} cannot be inferred")
    return int(kind)
