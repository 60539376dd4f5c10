"""Runs the embedder on onnxruntime, in stages, and turns embeddings into the swapper's latents."""

from __future__ import annotations

import numpy as np

from layers.engine.stages import StagedNetwork, StagePlan, Weights
from layers.engine.swapper import Floats

INPUT, OUTPUT = "crop", "embedding"


class OnnxEmbedder:
    """An Embedder that starts before all its weights have arrived."""

    name = "onnxruntime"

    def __init__(self, plan: StagePlan, weights: Weights, threads: int) -> None:
        self._network = StagedNetwork(plan, weights, threads)

    def run(self, crops: Floats) -> Floats:
        """Embed float32 crops [N, 3, 112, 112], RGB, (value - 127.5) / 127.5, as float32 [N, 512], of any length."""
        embeddings = [self._network.run({INPUT: crops[n : n + 1]})[OUTPUT] for n in range(len(crops))]
        return np.concatenate(embeddings).astype(np.float32, copy=False)

    def close(self) -> None:
        """Give the weights back to the system. A closed embedder cannot run again."""
        self._network.close()


def to_latent(embedding: Floats, emap: Floats) -> Floats:
    """The latent that inswapper takes for a face: float32 [512] of unit length.

    `embedding` is float32 [512]; `emap` is the embedding map, float32 [512, 512]. As in InsightFace's INSwapper.get.
    """
    return normalise(normalise(embedding) @ emap)


def normalise(vector: Floats) -> Floats:
    """Scale a vector to unit length; returns float32."""
    return np.asarray(vector / np.linalg.norm(vector), np.float32)
