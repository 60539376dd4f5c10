"""The one interface to the swapper, whatever runs it."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Swapper(Protocol):
    """Turns aligned crops and latents into swapped crops."""

    name: str  # what runs it, for people
    window: int | None  # bytes of weights that it needs at one time; None: all

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """Swap float32 crops [N, 3, 128, 128], RGB in [0, 1], by float32 latents [N, 512] of unit length.

        Returns crops of the same shape.
        """
        ...

    def close(self) -> None:
        """Give the weights back to the system. A closed swapper cannot run again."""
        ...
