"""The network that tells faces apart on onnxruntime, in stages, and what the swapper takes from it."""

from __future__ import annotations

import numpy as np

from layers.engine.stages import StagedNetwork, StagePlan, Weights
from layers.engine.swapper import Floats

INPUT, OUTPUT = "crop", "embedding"


class OnnxEmbedder:
    """Turns aligned faces into embeddings."""

    def __init__(self, plan: StagePlan, weights: Weights, threads: int) -> None:
        self._network = StagedNetwork(plan, weights, threads)

    def run(self, crops: Floats) -> Floats:
        """float32 [N, 3, 112, 112] RGB, (value - 127.5) / 127.5; float32 [N, 512], of any length."""
        embeddings = [self._network.run({INPUT: crops[n : n + 1]})[OUTPUT] for n in range(len(crops))]
        return np.concatenate(embeddings).astype(np.float32, copy=False)

    def close(self) -> None:
        """Give the weights back to the system. A closed embedder is not run again."""
        self._network.close()


def latent(embedding: Floats, emap: Floats) -> Floats:
    """What inswapper takes for a face: float32 [512] of unit length.

    `embedding` float32 [512], `emap` the embedding map, float32 [512, 512]. As InsightFace's INSwapper.get does it.
    """
    return unit(unit(embedding) @ emap)


def unit(vector: Floats) -> Floats:
    """The same direction, float32, of length one."""
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
