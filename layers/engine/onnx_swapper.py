"""Runs the inswapper network on onnxruntime, in stages."""

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
        """Swap float32 crops [N, 3, 128, 128], RGB in [0, 1], by float32 latents [N, 512] of unit length; return crops.

        One face at a time: the network is so wide that a batch gains no speed, and costs memory. Raises ValueError if
        there are more crops than latents, or fewer.
        """
        if len(crops) != len(latents):
            raise ValueError(f"{len(crops)} crops but {len(latents)} latents")
        swapped = np.empty(crops.shape, np.float32)
        for number in range(len(crops)):
            one = slice(number, number + 1)
            swapped[one] = self._network.run({TARGET: crops[one], SOURCE: latents[one]})[OUTPUT]
        return swapped

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper cannot run again."""
        self._network.close()
