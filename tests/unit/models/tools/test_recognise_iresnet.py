"""What a pack says to the native engine of an IResNet is enough to compute it; no other network is taken for one."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from layers.engine.native_embedder import EmbedderDescription, layer_shapes, value_count
from layers.engine.stages import Array, InMemoryWeights, StagedNetwork
from layers.models.tools import partition
from layers.models.tools import recognise_iresnet as module
from layers.models.tools.onnx_file import load
from layers.models.tools.partition import partition_network
from layers.models.tools.recognise_iresnet import recognise_iresnet
from tests.support import model_standins as standin
from tests.support.plain_iresnet import PlainIResNet

WIDTH, BLOCKS = 16, (2, 1, 1, 1)
STEM, SHORTCUT, FIRST, SECOND, NEXT = range(5)  # convolutions: the first block's, and the next one's first


@dataclass
class Network:
    """A graph, and its constants by name."""

    nodes: list[Any]
    constants: dict[str, Array]

    def describe(self, dtype: str = "float16") -> EmbedderDescription | None:
        """Its description, if all weights lay in the flat file in that type, 64 bytes from one to the next."""
        places = {name: (64 * number, dtype) for number, name in enumerate(self.constants)}
        return recognise_iresnet(self.nodes, self.constants, places)

    def first(self, kind: str, number: int = 0) -> Any:
        return [node for node in self.nodes if node.op_type == kind][number]


@cache
def _file() -> Path:
    path = Path(tempfile.mkdtemp(prefix="coldswap-iresnet-")) / "embedder.onnx"
    return standin.w600k_r50(path, WIDTH, BLOCKS)


@cache
def _graph() -> tuple[list[Any], Mapping[str, Array]]:
    graph = onnx.load(str(_file())).graph
    return list(graph.node), {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}


def network() -> Network:
    nodes, constants = _graph()
    return Network(deepcopy(nodes), dict(constants))


def set_attribute(node: Any, **values: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name not in values]
    del node.attribute[:]
    node.attribute.extend([*kept, *(helper.make_attribute(name, value) for name, value in values.items())])


def insert_behind(network: Network, node: Any, new: Any) -> None:
    """Put a node, whose first input and output are named here, between a node and what takes its output."""
    name = node.output[0]
    for each in network.nodes:
        for place, taken in enumerate(each.input):
            each.input[place] = "inserted" if taken == name else taken
    new.input.insert(0, name)
    new.output.append("inserted")
    network.nodes.append(new)


def test_the_description_is_all_that_is_needed_to_compute_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MIN_HALF_ELEMENTS", 1024)  # so that the kernels of so narrow a network are halves
    converted = partition_network(load(_file()), ("crop",), "embedding")
    description = converted.native
    assert isinstance(description, EmbedderDescription)
    description = EmbedderDescription.parse(description.dump(), len(converted.weights))
    crop = np.random.default_rng(1).uniform(-1, 1, (1, 3, 112, 112)).astype(np.float32)
    by_onnxruntime = StagedNetwork(converted.plan, InMemoryWeights(converted.weights), 1)
    expected = by_onnxruntime.run({"crop": crop})["embedding"]

    plain = PlainIResNet(
        description.blocks, description.width, description.weights, description.values, converted.weights
    )

    np.testing.assert_allclose(plain.run(crop), expected, atol=1e-5 * np.abs(expected).max())
    assert [offset for offset, _ in description.weights] == sorted(offset for offset, _ in description.weights)


def test_its_shape_is_read_from_the_graph() -> None:
    description = network().describe()
    assert description is not None
    assert (description.blocks, description.width) == (BLOCKS, WIDTH)
    assert len(description.weights) == len(layer_shapes(WIDTH, BLOCKS))
    assert description.values.size == value_count(WIDTH, BLOCKS)


def test_sums_and_nodes_may_stand_in_any_order() -> None:
    expected, changed = network().describe(), network()
    changed.nodes.reverse()
    for node in changed.nodes:
        if node.op_type == "Add":
            node.input[:] = list(node.input)[::-1]
    description = changed.describe()
    assert expected is not None
    assert description is not None
    np.testing.assert_array_equal(description.values, expected.values)
    assert description.weights == expected.weights


def _attribute(kind: str, number: int = 0, **values: Any) -> Callable[[Network], None]:
    return lambda network: set_attribute(network.first(kind, number), **values)


def _behind(kind: str, number: int, new: str, **attributes: Any) -> Callable[[Network], None]:
    """Another node behind one of a kind."""
    return lambda network: insert_behind(
        network, network.first(kind, number), helper.make_node(new, [], [], **attributes)
    )


def _normalise_behind_a_convolution(network: Network) -> None:
    norm = deepcopy(network.first("BatchNormalization"))
    norm.ClearField("output")
    del norm.input[0]
    insert_behind(network, network.first("Conv"), norm)


def _skip_a_normalisation(network: Network) -> None:
    norm = network.first("BatchNormalization", 1)
    network.first("Conv", NEXT).input[0] = norm.input[0]


def _no_bias(network: Network) -> None:
    del network.first("Conv", FIRST).input[2]


def _slope_of_all_channels(network: Network) -> None:
    network.constants[network.first("PRelu").input[1]] = np.full((1, 1, 1), 0.25, np.float32)


def _slopes_across(network: Network) -> None:
    name = network.first("PRelu").input[1]
    network.constants[name] = network.constants[name].reshape(1, 1, -1)


def _computed_weights(network: Network) -> None:
    node = network.first("Conv", FIRST)
    network.nodes.append(helper.make_node("Neg", [node.input[1]], ["computed"]))
    node.input[1] = "computed"


def _add_twice(network: Network) -> None:
    addition = network.first("Add", 1)
    addition.input[1] = addition.input[0]


def _shortcut_of_another_tensor(network: Network) -> None:
    network.first("Add", 1).input[1] = network.first("PRelu").output[0]


def _shortcut_of_what_it_passes(network: Network) -> None:
    network.first("Add").input[:] = [network.first("Conv", SECOND).output[0], network.first("PRelu", 1).output[0]]


def _wider_kernel(network: Network) -> None:
    name = network.first("Conv", FIRST).input[1]
    network.constants[name] = np.pad(network.constants[name], ((0, 0), (0, 0), (1, 1), (1, 1)))


def _fewer_inputs_of_the_last_layer(network: Network) -> None:
    name = network.first("Gemm").input[1]
    network.constants[name] = network.constants[name][:, :-16]


def _scale_of_all_channels(network: Network) -> None:
    network.constants[network.first("BatchNormalization").input[1]] = np.ones(1, np.float32)


def _statistics_as_outputs(network: Network) -> None:
    network.first("BatchNormalization").output.append("mean")


def _node_beside(network: Network) -> None:
    network.nodes.append(helper.make_node("Relu", [network.first("PRelu", 1).output[0]], ["other"]))


def _negative_variance(network: Network) -> None:
    name = network.first("BatchNormalization").input[4]
    network.constants[name] = -network.constants[name]


def _another_output(network: Network) -> None:
    network.nodes.append(helper.make_node("Relu", [network.first("Add").output[0]], ["other"]))


def _circle(network: Network) -> None:
    last = network.nodes[-1]
    assert last.op_type == "Identity"
    last.output[0] = last.input[0]


def _two_inputs(network: Network) -> None:
    network.first("Conv").input[0] = "another input"
    network.nodes.append(helper.make_node("Relu", ["input.1"], ["other"]))


@pytest.mark.parametrize(
    "change",
    [
        _attribute("Conv", STEM, strides=[2, 2]),
        _attribute("Conv", SHORTCUT, strides=[1, 1]),
        _attribute("Conv", SHORTCUT, pads=[1, 1, 1, 1]),
        _attribute("Conv", FIRST, strides=[2, 2]),
        _attribute("Conv", FIRST, pads=[1, 1, 0, 0]),
        _attribute("Conv", FIRST, dilations=[2, 2]),
        _attribute("Conv", FIRST, group=2),
        _attribute("Conv", FIRST, auto_pad="SAME_UPPER"),
        _attribute("Conv", SECOND, strides=[1, 1]),
        _attribute("BatchNormalization", training_mode=1),
        _attribute("BatchNormalization", spatial=0),
        _attribute("BatchNormalization", epsilon=b"small"),
        _attribute("Flatten", axis=2),
        _attribute("Gemm", alpha=0.5),
        _attribute("Gemm", transB=0),
        _attribute("Gemm", transA=1),
        _behind("Conv", STEM, "Relu"),
        _behind("Conv", FIRST, "LeakyRelu", alpha=0.1),
        _behind("Add", 0, "PRelu"),
        _behind("Flatten", 0, "Dropout"),
        _behind("Gemm", 0, "Relu"),
        _normalise_behind_a_convolution,
        _skip_a_normalisation,
        _no_bias,
        _slope_of_all_channels,
        _slopes_across,
        _computed_weights,
        _add_twice,
        _shortcut_of_another_tensor,
        _shortcut_of_what_it_passes,
        _wider_kernel,
        _fewer_inputs_of_the_last_layer,
        _scale_of_all_channels,
        _statistics_as_outputs,
        _node_beside,
        _negative_variance,
        _another_output,
        _two_inputs,
        _circle,
        lambda network: network.nodes.clear(),
    ],
)
def test_whatever_is_arranged_in_another_way_is_of_another_family(change: Callable[[Network], None]) -> None:
    changed = network()
    change(changed)
    assert changed.describe() is None


@pytest.mark.parametrize(("width", "blocks"), [(8, (1, 1, 1, 1)), (16, (1, 1, 1))])
def test_widths_and_parts_that_the_engine_has_not_are_of_another_family(
    tmp_path: Path, width: int, blocks: tuple[int, ...]
) -> None:
    graph = onnx.load(str(standin.w600k_r50(tmp_path / "x.onnx", width, blocks))).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    assert Network(list(graph.node), constants).describe() is None


def test_more_blocks_than_the_engine_takes_are_of_another_family(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, is_recognised in ((max(BLOCKS), True), (max(BLOCKS) - 1, False)):
        monkeypatch.setattr(module, "MAX_BLOCKS", most)
        assert (network().describe() is not None) == is_recognised


def test_weights_that_are_not_in_the_flat_file_are_left_to_onnxruntime() -> None:
    graph = network()
    assert recognise_iresnet(graph.nodes, graph.constants, {}) is None


def test_kernels_that_are_not_halves_are_left_to_onnxruntime() -> None:
    assert network().describe("float32") is None
