"""Converts published ONNX files into what a pack holds: networks in stages beside flat fp16 weights.

A network is checked against its contract by running it, and refused if the converted one does not reproduce the file's
own results on a golden vector.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from typing import Any

import numpy as np

from layers.engine import onnx_embedder, onnx_swapper
from layers.engine.native_library import Unavailable
from layers.engine.session import session
from layers.engine.stages import Array, InMemoryWeights, StagedNetwork, StagePlan
from layers.models.runtime.manifest import (
    EMBEDDING_MAP_BLOB,
    FILE_BLOB,
    NATIVE_BLOB,
    PLAN_BLOB,
    THRESHOLD_BLOB,
    WEIGHTS_BLOB,
    Contract,
    Kind,
    ModelName,
)
from layers.models.tools.onnx_file import Unfit, load, read_contract, run_reference, serialise_in_float
from layers.models.tools.partition import PartitionedNetwork, partition_network, stored_dtype
from layers.models.tools.run_native import run_native

# The pack's results against plain onnxruntime's on the same weights in fp32; and against the unchanged file's, where
# that computes in fp16 or its weights were rounded: 60 dB is a quarter of one of 256 levels.
MIN_PSNR_DB, MIN_ROUNDED_PSNR_DB = 80.0, 60.0
MIN_COSINE = 0.9999  # of an embedding, to the unchanged file's
MIN_NATIVE_COSINE = 0.99999  # of the native engine's embedding, to onnxruntime's on the same weights
MAX_DIFFERENCE = 1e-3  # of a detector's outputs: scores up to 1, distances up to some tens of strides
IDENTICAL_DB = 200.0  # stands for no difference at all, because JSON has no infinity
STRIDES = (8, 16, 32)
# Embedders whose embedding space is not inswapper's (InsightFace examples/in_swapper/README.md).
OTHER_SPACES = {
    "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f": "w600k_mbf of buffalo_s and buffalo_sc"
}


@dataclass(frozen=True)
class ConvertedModel:
    """A model, ready to be published."""

    kind: Kind
    contract: Contract
    blobs: dict[str, bytes | bytearray]
    golden: bytes  # .npz: inputs and outputs by name, and the tolerance
    source: str  # SHA-256 of the file
    parity: dict[str, float]  # of the pack's results with the file's: max_difference, *cosine, or *psnr_db


def convert_detector(path: Path) -> ConvertedModel:
    """Convert a detector of the SCRFD family: it is small, so its file stays as it is. Raises Unfit or OSError."""
    contract = read_contract(load(path))
    if len(contract.inputs) == 1 and len(contract.outputs) in (6, 10):
        raise Unfit(f"{path.name} finds boxes without keypoints, and a swap needs both: use det_500m or det_10g")
    if len(contract.inputs) != 1 or len(contract.outputs) not in (9, 15):
        raise Unfit(f"{path.name} does not have the outputs of an SCRFD detector")
    data = path.read_bytes()
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 128, 128)).astype(np.float32)
    inputs = {contract.inputs[0].name: crop}
    expected = run_reference(path, inputs)
    _check_scrfd(path, list(expected.values()), 128)
    outputs = dict(zip(expected, session(data, 0).run(list(expected), inputs), strict=True))
    difference = max(float(np.abs(outputs[name] - expected[name]).max()) for name in expected)
    if not difference <= MAX_DIFFERENCE:
        raise Unfit(f"{path.name}: optimised, its outputs differ by {difference:.1e}")
    golden = _golden_vector(inputs, expected, max_difference=MAX_DIFFERENCE)
    return ConvertedModel("onnx", contract, {FILE_BLOB: data}, golden, _digest(path), {"max_difference": difference})


def convert_gate(path: Path, threshold: float) -> ConvertedModel:
    """Convert a classifier of whole pictures, by the contract of functions/swap/safeguards/content_filter.py.

    Raises Unfit or OSError.
    """
    if not 0 < threshold <= 1:
        raise Unfit("the threshold of a content filter is a probability, above 0 and at most 1")
    contract = read_contract(load(path))
    if len(contract.inputs) != 1 or len(contract.outputs) != 1:
        raise Unfit(f"{path.name} does not have exactly one input and one output")
    rest = list(contract.inputs[0].shape[1:])
    side = rest[-1] if rest else 0
    if rest != [3, side, side] or not isinstance(side, int) or not 16 <= side <= 1024:
        raise Unfit(f"{path.name} does not take a picture [1, 3, S, S]; S is fixed, from 16 to 1024")
    data, name = path.read_bytes(), contract.inputs[0].name
    difference, golden = 0.0, b""
    noise = np.random.default_rng(0).random((1, 3, side, side), np.float32)
    for picture in (np.zeros_like(noise), np.ones_like(noise), noise):
        inputs = {name: picture}
        expected = run_reference(path, inputs)
        (probabilities,) = expected.values()
        if probabilities.size not in (1, 2) or not (probabilities.min() >= 0 and probabilities.max() <= 1):
            raise Unfit(f"{path.name} does not return one probability, or two: end it with a sigmoid or a softmax")
        output = session(data, 0).run(list(expected), inputs)[0]
        difference = max(difference, float(np.abs(output - probabilities).max()))
        golden = _golden_vector(inputs, expected, max_difference=MAX_DIFFERENCE)
    if not difference <= MAX_DIFFERENCE:
        raise Unfit(f"{path.name}: optimised, its outputs differ by {difference:.1e}")
    blobs: dict[str, bytes | bytearray] = {FILE_BLOB: data, THRESHOLD_BLOB: repr(threshold).encode()}
    return ConvertedModel("onnx", contract, blobs, golden, _digest(path), {"max_difference": difference})


def convert_embedder(path: Path) -> ConvertedModel:
    """Convert w600k_r50, or another network from a crop [N, 3, 112, 112] to an embedding [N, 512].

    MobileFaceNets are refused: no swapper of the inswapper family takes their embeddings. Raises Unfit or OSError.
    """
    digest = _digest(path)
    if digest in OTHER_SPACES:
        raise Unfit(_wrong_space_message(path, f"it is {OTHER_SPACES[digest]}"))
    model = load(path)
    contract = read_contract(model)
    if len(contract.inputs) != 1 or len(contract.outputs) != 1 or contract.inputs[0].shape[1:] != (3, 112, 112):
        raise Unfit(f"{path.name} does not take one crop of 112 x 112")
    if _has_depthwise(model):
        raise Unfit(_wrong_space_message(path, "its grouped convolutions show that it is a MobileFaceNet"))
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    expected = run_reference(path, {contract.inputs[0].name: crop})[contract.outputs[0].name]
    if expected.shape != (1, 512):
        raise Unfit(f"{path.name} does not return embeddings of 512 numbers")
    network = partition_network(model, (onnx_embedder.INPUT,), onnx_embedder.OUTPUT)
    embedding = _run_staged(network.plan, network.weights, {onnx_embedder.INPUT: crop})[onnx_embedder.OUTPUT]
    cosine = cosine_of(embedding, expected)
    if not cosine >= MIN_COSINE:
        raise Unfit(f"{path.name}: in fp16 the embedding's cosine to the original is {cosine:.6f}")
    blobs: dict[str, bytes | bytearray] = {PLAN_BLOB: network.plan.dump(), WEIGHTS_BLOB: network.weights}
    parity = {"cosine": cosine}
    inputs = {onnx_embedder.INPUT: crop}
    _try_native("embedder", network, inputs, embedding, blobs, parity)
    golden = _golden_vector(inputs, {onnx_embedder.OUTPUT: expected}, min_cosine=MIN_COSINE)
    return ConvertedModel("onnx-stages", contract, blobs, golden, digest, parity)


def convert_swapper(path: Path) -> ConvertedModel:
    """Convert inswapper_128, in fp32, in fp16, or with fp16 weights and fp32 arithmetic; its embedding map goes apart.

    Raises Unfit or OSError.
    """
    model = load(path)
    contract = read_contract(model)
    shapes = [tensor.shape for tensor in contract.inputs]
    if shapes != [(1, 3, 128, 128), (1, 512)] or len(contract.outputs) != 1:
        raise Unfit(f"{path.name} does not take a crop of 128 x 128 and a latent")
    random = np.random.default_rng(0)
    source = random.standard_normal((1, 512)).astype(np.float32)
    inputs = {
        onnx_swapper.TARGET: random.random((1, 3, 128, 128), np.float32),
        onnx_swapper.SOURCE: source / np.linalg.norm(source),
    }
    network = partition_network(model, tuple(inputs), onnx_swapper.OUTPUT)
    if network.last is None or network.last.shape != (512, 512):
        raise Unfit(f"{path.name} does not end with an embedding map of 512 x 512")
    swapped = _run_staged(network.plan, network.weights, inputs)[onnx_swapper.OUTPUT]
    file_inputs = dict(zip([tensor.name for tensor in contract.inputs], inputs.values(), strict=True))
    expected = run_reference(path, file_inputs)[contract.outputs[0].name]
    parity: dict[str, float] = {}
    if not network.exact:
        parity["file_psnr_db"] = _check_psnr(path, swapped, expected, MIN_ROUNDED_PSNR_DB)
        expected = run_reference(path, file_inputs, serialise_in_float(load(path), stored_dtype))[
            contract.outputs[0].name
        ]
    parity["psnr_db"] = _check_psnr(path, swapped, expected, MIN_PSNR_DB)
    emap = network.last.astype("<f4").tobytes()
    blobs: dict[str, bytes | bytearray] = {
        PLAN_BLOB: network.plan.dump(),
        WEIGHTS_BLOB: network.weights,
        EMBEDDING_MAP_BLOB: emap,
    }
    _try_native("swapper", network, inputs, expected, blobs, parity)
    golden = _golden_vector(inputs, {onnx_swapper.OUTPUT: expected}, min_psnr_db=MIN_PSNR_DB)
    return ConvertedModel("onnx-stages", contract, blobs, golden, _digest(path), parity)


def _check_psnr(path: Path, output: Array, expected: Array, least: float) -> float:
    psnr = psnr_db(output, expected)
    if not psnr >= least:
        raise Unfit(f"{path.name}: converted, it is {psnr:.1f} dB from the original; at least {least:.0f} are required")
    return psnr


def psnr_db(one: Array, other: Array) -> float:
    """The peak signal-to-noise ratio of two pictures with values from 0 to 1; at most IDENTICAL_DB."""
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return min(float(-10 * np.log10(error)), IDENTICAL_DB) if error else IDENTICAL_DB


def measure_native(name: ModelName, output: Array, expected: Array) -> tuple[str, float, float]:
    """How close the native engine's output is to another of the same weights: a name, a number, and the least."""
    if name == "swapper":
        return "native_psnr_db", psnr_db(output, expected), MIN_PSNR_DB
    return "native_cosine", cosine_of(output, expected), MIN_NATIVE_COSINE


def cosine_of(one: Array, other: Array) -> float:
    """The cosine similarity of two vectors."""
    one, other = one.astype(np.float64), other.astype(np.float64)
    return float(np.sum(one * other) / (np.linalg.norm(one) * np.linalg.norm(other)))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _check_scrfd(path: Path, outputs: list[Array], side: int) -> None:
    """Raise Unfit unless there are scores [N, 1], then boxes [N, 4], then keypoints [N, 10], each for all strides
    (insightface's scrfd.py)."""
    levels = len(outputs) // 3
    shapes = [output.shape[-2:] for output in outputs]
    for level, stride in enumerate(STRIDES if levels == len(STRIDES) else (*STRIDES, 64, 128)):
        places = (side // stride) ** 2
        count = shapes[level][0]
        if [shapes[at][1:] for at in (level, level + levels, level + 2 * levels)] != [(1,), (4,), (10,)]:
            raise Unfit(f"{path.name} does not return scores, boxes and keypoints in SCRFD's order")
        if count % max(places, 1) or any(shapes[level + at * levels][0] != count for at in (1, 2)):
            raise Unfit(f"{path.name} does not have strides of 8, 16 and 32 pixels as SCRFD does")


def _has_depthwise(model: Any) -> bool:
    return any(
        attribute.name == "group" and attribute.i > 1
        for node in model.graph.node
        if node.op_type == "Conv"
        for attribute in node.attribute
    )


def _wrong_space_message(path: Path, why: str) -> str:
    return (
        f"{path.name} cannot drive inswapper: {why}, and its embeddings lie in another space than those of w600k_r50, "
        "with which inswapper was trained; swaps would resemble nobody. Use w600k_r50 of buffalo_l"
    )


def _golden_vector(inputs: Mapping[str, Array], outputs: Mapping[str, Array], **tolerance: float) -> bytes:
    arrays: dict[str, Any] = {f"input:{name}": value for name, value in inputs.items()}
    arrays |= {f"output:{name}": value for name, value in outputs.items()}
    arrays |= {name: np.float32(value) for name, value in tolerance.items()}
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def _try_native(
    name: ModelName,
    network: PartitionedNetwork,
    inputs: Mapping[str, Array],
    expected: Array,
    blobs: dict[str, bytes | bytearray],
    parity: dict[str, float],
) -> None:
    """Add what the native engine has to know to the blobs, and how close it is to the parity.

    Nothing is added if the engine does not know the network or cannot be used here, no blob if it is not close enough.
    """
    if network.native is None:
        return
    description = network.native.dump()
    with suppress(Unavailable):
        output = run_native(name, description, InMemoryWeights(network.weights), inputs)
        measure, value, least = measure_native(name, output, expected)
        if np.isfinite(value):  # a manifest has room for numbers only
            parity[measure] = value
        if value >= least:
            blobs[NATIVE_BLOB] = description


def _run_staged(plan: StagePlan, weights: bytearray, inputs: Mapping[str, Array]) -> dict[str, Array]:
    return StagedNetwork(plan, InMemoryWeights(weights), 0).run(inputs)
