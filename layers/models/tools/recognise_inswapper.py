"""Recognises networks of the inswapper family, for which there is a native engine.

They are recognised by the layers that carry weights: their kinds, order and shapes. What lies between them is not
checked here; whoever converts a network runs both, and compares the results.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layers.engine.native_swapper import CONVOLUTIONS, STYLES, Description, layer_shapes
from layers.engine.stages import Array
from layers.models.tools.onnx_file import read_attribute


def recognise_inswapper(
    nodes: Sequence[Any], constants: Mapping[str, Array], places: Mapping[str, tuple[int, str]]
) -> Description | None:
    """Describe a network for the native engine; None if it is of another family.

    `nodes` are in order of demand; `places` are where constants lie in the flat file (offset in bytes, dtype).
    """
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    styles = [node for node in nodes if node.op_type == "Gemm"]
    if (len(convolutions), len(styles)) != (CONVOLUTIONS, STYLES):
        return None
    layers = [*convolutions, *styles]
    if any(len(node.input) != 3 or not constants.keys() >= set(node.input[1:]) for node in layers):
        return None
    width = constants[convolutions[0].input[1]].shape[0]
    if width % 16 or [constants[node.input[1]].shape for node in layers] != layer_shapes(width):
        return None
    if not all(read_attribute(node, "transB", 0) for node in styles):
        return None
    if [read_attribute(node, "strides", [1, 1]) for node in convolutions] != [[1, 1]] * 2 + [[2, 2]] * 2 + [
        [1, 1]
    ] * 16:
        return None
    if not all(node.input[1] in places for node in layers):
        return None
    weights = tuple((at, dtype == "float16") for at, dtype in (places[node.input[1]] for node in layers))
    biases = [np.asarray(constants[node.input[2]], np.float32).ravel() for node in layers]
    if [bias.size for bias in biases] != [shape[0] for shape in layer_shapes(width)]:
        return None
    epsilon = _find_epsilon(nodes, constants)
    return None if epsilon is None else Description(width, epsilon, weights, np.concatenate(biases))


def _find_epsilon(nodes: Sequence[Any], constants: Mapping[str, Array]) -> float | None:
    """The epsilon that every normalisation adds to the variance; None unless there is just one. fp16 files differ."""
    producers = {name: node for node in nodes for name in node.output}
    epsilons = set()
    for node in nodes:
        if node.op_type == "Sqrt":
            addition = producers.get(node.input[0])
            scalars = [constants[name] for name in addition.input if name in constants] if addition is not None else []
            if addition is None or addition.op_type != "Add" or len(scalars) != 1 or scalars[0].size != 1:
                return None
            epsilons.add(float(scalars[0].ravel()[0]))
    return epsilons.pop() if len(epsilons) == 1 else None
