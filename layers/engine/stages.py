"""Networks in stages, which run one after another, each as soon as its own weights have arrived.

The weights lie in one flat file in the order of use, fp16 where that loses nothing; the graphs are small and take them
as inputs. So no session ever copies a weight, a network can start before its file is complete, and only one stage's
fp32 copies exist at a time. After ServerlessLLM (OSDI 2024): a flat file in load order, no parse step.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from layers.core.errors import ModelsCorrupt
from layers.engine.session import stage_session

ALIGNMENT = 64  # bytes, of each weight in the flat file
Array = NDArray[Any]


class Weights(Protocol):
    """The flat file of weights in memory, which is still being filled."""

    window: int | None  # bytes that may be needed at one time; None: all

    def wait(self, upto: int | None = None) -> memoryview:
        """Wait for the first `upto` bytes (None: all), and return them."""
        ...

    def memory(self) -> memoryview:
        """The whole memory, whether filled or not."""
        ...

    def release(self, upto: int) -> None:
        """Say that the first `upto` bytes are not needed again; in a window they make room for others."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class InMemoryWeights:
    """Weights that are all in memory already, and stay there."""

    window: int | None = None

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def wait(self, upto: int | None = None) -> memoryview:
        """The first `upto` bytes (None: all), at once."""
        return memoryview(self._data)[:upto]

    def memory(self) -> memoryview:
        """All of it."""
        return memoryview(self._data)

    def release(self, upto: int) -> None:
        """Does nothing: the bytes stay."""

    def close(self) -> None:
        """Does nothing: the memory is the caller's."""


@dataclass(frozen=True)
class Weight:
    """A tensor in the flat file, and the input of the stage's graph that takes it."""

    input: str
    dtype: str  # NumPy's: float16 or float32
    shape: tuple[int, ...]
    offset: int  # bytes

    @property
    def end(self) -> int:
        """One past its last byte."""
        return self.offset + int(np.prod(self.shape, dtype=np.int64)) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class Stage:
    """A run of one graph of the plan: which of the network's tensors are the graph's inputs and outputs."""

    graph: int
    weights: tuple[Weight, ...]
    inputs: dict[str, str]  # the graph's name of a tensor to the network's
    outputs: dict[str, str]
    last_uses: tuple[str, ...]  # tensors of the network that no later stage reads

    @property
    def until(self) -> int:
        """How many bytes of the flat file must have arrived."""
        return max((weight.end for weight in self.weights), default=0)


@dataclass(frozen=True)
class StagePlan:
    """Stages in order of execution, and the graphs (serialised ONNX) that they run; stages may share a graph."""

    stages: tuple[Stage, ...]
    graphs: tuple[bytes, ...]

    def dump(self) -> bytes:
        """Serialise: a line of JSON, and the graphs behind it."""
        head = {"stages": [asdict(stage) for stage in self.stages], "graphs": [len(graph) for graph in self.graphs]}
        return b"\n".join([json.dumps(head, sort_keys=True).encode(), b"".join(self.graphs)])

    @staticmethod
    def parse(data: bytes) -> StagePlan:
        """Parse a plan. Its bytes are verified, so a fault is the publisher's. Raises ModelsCorrupt."""
        try:
            line, _, rest = data.partition(b"\n")
            head = json.loads(line)
            graphs, at = [], 0
            for size in head["graphs"]:
                graphs.append(rest[at : at + size])
                at += size
            stages = tuple(
                Stage(
                    graph=stage["graph"],
                    weights=tuple(Weight(**{**weight, "shape": tuple(weight["shape"])}) for weight in stage["weights"]),
                    inputs=stage["inputs"],
                    outputs=stage["outputs"],
                    last_uses=tuple(stage["last_uses"]),
                )
                for stage in head["stages"]
            )
        except (ValueError, KeyError, TypeError) as error:
            raise ModelsCorrupt("The plan of a network cannot be read. Publish the pack again.") from error
        return StagePlan(stages, tuple(graphs))


class StagedNetwork:
    """Runs a plan with onnxruntime."""

    def __init__(self, plan: StagePlan, weights: Weights, threads: int) -> None:
        """Make the sessions, which needs none of the weights yet."""
        self._stages = plan.stages
        self._sessions = [stage_session(graph, threads) for graph in plan.graphs]
        self._weights: Weights | None = weights

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run the network; returns its outputs by name. Waits for arriving weights, and raises what that raises."""
        if self._weights is None:
            raise RuntimeError("this network is closed")
        alive: dict[str, Array] = dict(inputs)
        for stage in self._stages:
            memory = self._weights.wait(stage.until)
            feeds = {name: alive[tensor] for name, tensor in stage.inputs.items()}
            for weight in stage.weights:
                flat = np.frombuffer(memory[weight.offset : weight.end], weight.dtype)
                feeds[weight.input] = flat.reshape(weight.shape)
            results = self._sessions[stage.graph].run(list(stage.outputs), feeds)
            alive.update(zip(stage.outputs.values(), results, strict=True))
            for tensor in stage.last_uses:
                del alive[tensor]
            del feeds, results
        return alive

    def close(self) -> None:
        """Release the sessions and the weights."""
        if self._weights is not None:
            self._weights.close()
        self._weights = None
        self._sessions = []
