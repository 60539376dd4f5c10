"""The one interface to the embedder, whatever runs it."""

from __future__ import annotations

from typing import Protocol

from layers.engine.swapper import Floats


class Embedder(Protocol):
    """Turns aligned crops into embeddings."""

    name: str  # what runs it, for people

    def run(self, crops: Floats) -> Floats:
        """Embed float32 crops [N, 3, 112, 112], RGB, (value - 127.5) / 127.5, as float32 [N, 512], of any length."""
        ...

    def close(self) -> None:
        """Give the weights back to the system. A closed embedder cannot run again."""
        ...
