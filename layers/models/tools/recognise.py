"""Recognises networks of the inswapper family, for which there is a native engine.

By the layers that carry weights: their kinds, order and shapes. What lies between them is not looked at; whether the
engine gives the network's results is found out by running both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from layers.engine.native_swapper import CONVOLUTIONS, STYLES, Description, layer_shapes
from layers.engine.stages import Array


def describe(
    nodes: Sequence[Any], constants: Mapping[str, Array], places: Mapping[str, tuple[int, str]]
) -> Description | None:
    """Nodes in order of demand, their constants, and where those are in the flat file (offset, dtype).

    None for other families.
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
    if not all(_attribute(node, "transB", 0) for node in styles):
        return None
    if [_attribute(node, "strides", [1, 1]) for node in convolutions] != [[1, 1]] * 2 + [[2, 2]] * 2 + [[1, 1]] * 16:
        return None
    if not all(node.input[1] in places for node in layers):
        return None
    weights = tuple((at, dtype == "float16") for at, dtype in (places[node.input[1]] for node in layers))
    biases = [np.asarray(constants[node.input[2]], np.float32).ravel() for node in layers]
    if [bias.size for bias in biases] != [shape[0] for shape in layer_shapes(width)]:
        return None
    epsilon = _epsilon(nodes, constants)
    return None if epsilon is None else Description(width, epsilon, weights, np.concatenate(biases))


def _epsilon(nodes: Sequence[Any], constants: Mapping[str, Array]) -> float | None:
    """What every normalisation adds to the variance before its root; fp16 files hold another than fp32 ones."""
    makers = {name: node for node in nodes for name in node.output}
    found = set()
    for node in nodes:
        if node.op_type == "Sqrt":
            added = makers.get(node.input[0])
            scalars = [constants[name] for name in added.input if name in constants] if added is not None else []
            if added is None or added.op_type != "Add" or len(scalars) != 1 or scalars[0].size != 1:
                return None
            found.add(float(scalars[0].ravel()[0]))
    return found.pop() if len(found) == 1 else None


def _attribute(node: Any, name: str, default: Any) -> Any:
    for each in node.attribute:
        if each.name == name:
            return list(each.ints) or each.i
    return default
