"""A swap of a moving meme that several executions do, one step after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from functions.swap.values import SwapRequest
from layers.core.errors import NotFound

Stage = Literal["analyse", "swap", "compose"]
SCRATCH = "moving-"  # prefix of the names of scratch folders
POLL_SECONDS = 2.0  # between two questions whether the swap is still wanted


def _stay_wanted() -> bool:
    return True


def _keep_quiet(stage: Stage, done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class MovingJob:
    """A swap or a listing of a moving meme; steps of one id share their work files."""

    id: str
    request: SwapRequest  # of a listing, `meme` and `caller` count
    is_wanted: Callable[[], bool] = _stay_wanted  # whether nobody has deleted it; asked every few seconds
    report: Callable[[Stage, int, int], None] = _keep_quiet  # hears of frames that are done, and of how many; as often
    _asked: list[float] = field(default_factory=lambda: [time.monotonic()], repr=False)

    def check(self, stage: Stage, done: int = 0, total: int = 0) -> None:
        """Report progress, if it is time to. Raises NotFound if the swap was deleted meanwhile."""
        now = time.monotonic()
        if now - self._asked[0] >= POLL_SECONDS:
            self._asked[0] = now
            self.report(stage, done, total)
            self.require()

    def require(self) -> None:
        """Raises NotFound if the swap was deleted meanwhile."""
        if not self.is_wanted():
            raise NotFound("This swap was deleted while it was in progress.")
