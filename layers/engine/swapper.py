"""The one interface to the network that swaps, whatever runs it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Swapper(Protocol):
    """Aligned crops and latents in, crops out."""

    name: str  # what runs it, for people
    window: int | None  # bytes of weights that it must have at one time; None: all

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """float32 [N, 3, 128, 128] RGB in [0, 1] and float32 [N, 512] of unit length; the same shape as the crops."""
        ...

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper is not run again."""
        ...
