"""The inswapper network on onnxruntime, in stages."""

from __future__ import annotations

import numpy as np

from layers.engine.stages import StagedNetwork, StagePlan, Weights
from layers.engine.swapper import Floats

# InsightFace's names (examples/in_swapper).
TARGET, SOURCE, OUTPUT = "target", "source", "output"


class OnnxSwapper:
    """A Swapper that starts before all its weights have arrived."""

    name = "onnxruntime"
    window: int | None = None

    def __init__(self, plan: StagePlan, weights: Weights, threads: int) -> None:
        self._network = StagedNetwork(plan, weights, threads)

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """float32 [N, 3, 128, 128] RGB in [0, 1] and float32 [N, 512] of unit length; the same shape as the crops.

        One face at a time: the network is so wide that a batch gains no speed, and costs memory.
        """
        if len(crops) != len(latents):
            raise ValueError(f"{len(crops)} crops but {len(latents)} latents")
        swapped = np.empty(crops.shape, np.float32)
        for number in range(len(crops)):
            one = slice(number, number + 1)
            swapped[one] = self._network.run({TARGET: crops[one], SOURCE: latents[one]})[OUTPUT]
        return swapped

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper is not run again."""
        self._network.close()
