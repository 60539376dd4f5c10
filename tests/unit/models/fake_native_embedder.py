"""The native engine's embedder in NumPy: right whatever processor this is, wrong or absent where a test wants that."""

from __future__ import annotations

from functools import cache
from unittest import mock

import numpy as np
import pytest

from layers.engine import native_embedder
from layers.engine.native_embedder import EmbedderDescription
from layers.engine.native_library import Unavailable
from layers.engine.stages import Weights
from layers.engine.swapper import Floats
from layers.models.tools.convert import ConvertedModel
from tests.support.plain_iresnet import PlainIResNet
from tests.unit.models import toys


class FakeNativeEmbedder:
    """An Embedder with NativeEmbedder's arguments."""

    name = "native fake"
    error = 0.0  # of each number of an embedding, in units of their spread
    why_unavailable = ""

    def __init__(
        self,
        description: EmbedderDescription,
        weights: Weights,
        threads: int,
        instructions: str = "",
        lean: bool = False,
    ) -> None:
        if self.why_unavailable:
            raise Unavailable(self.why_unavailable)
        self._description, self._weights, self.lean = description, weights, lean
        self._is_closed = False

    def run(self, crops: Floats) -> Floats:
        if self._is_closed:
            raise RuntimeError("this embedder is closed")
        it = self._description
        network = PlainIResNet(it.blocks, it.width, it.weights, it.values, bytes(self._weights.wait()))
        embeddings = network.run(crops)
        noise = np.random.default_rng(0).standard_normal(embeddings.shape)
        return np.asarray(embeddings + self.error * embeddings.std() * noise, np.float32)

    def close(self) -> None:
        self._is_closed = True
        self._weights.close()


@cache
def describe_iresnet() -> ConvertedModel:
    """An embedder that a pack describes for the native engine."""
    with mock.patch.object(native_embedder, "NativeEmbedder", FakeNativeEmbedder):
        return toys.convert_iresnet()


def install(monkeypatch: pytest.MonkeyPatch, error: float = 0.0, why_unavailable: str = "") -> None:
    """Let this be the native engine's embedder for one test."""
    monkeypatch.setattr(FakeNativeEmbedder, "error", error)
    monkeypatch.setattr(FakeNativeEmbedder, "why_unavailable", why_unavailable)
    monkeypatch.setattr(native_embedder, "NativeEmbedder", FakeNativeEmbedder)
