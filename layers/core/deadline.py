"""How much time is left, as one value that travels with the work."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from layers.core.errors import OutOfTime


@dataclass(frozen=True)
class Deadline:
    """A moment of the monotonic clock, in seconds."""

    at: float
    advice: str = "Try again."  # a sentence for the caller, written by the function that sets the deadline

    @staticmethod
    def after(seconds: float, advice: str = "Try again.") -> Deadline:
        """The moment that many seconds from now."""
        return Deadline(time.monotonic() + seconds, advice)

    def left(self) -> float:
        """Seconds left; negative when it has passed."""
        return self.at - time.monotonic()

    def check(self, doing: str) -> float:
        """Seconds left. Raises OutOfTime, which names what was being done, once the deadline has passed."""
        left = self.left()
        if left <= 0:
            raise OutOfTime(f"Time ran out while {doing}. {self.advice}")
        return left

    def sooner(self, seconds: float) -> Deadline:
        """The earlier of this deadline and the moment that many seconds from now."""
        return Deadline(min(self.at, time.monotonic() + seconds), self.advice)


@dataclass(frozen=True)
class ExtensibleDeadline(Deadline):
    """A deadline that may be put off while the work goes on, once it turns out to be larger."""

    _later: list[float] = field(default_factory=list, repr=False)

    def extend(self, deadline: Deadline) -> None:
        """Put it off to another deadline."""
        self._later.append(deadline.at)

    def left(self) -> float:
        """Seconds left; negative when it has passed."""
        return (self._later[-1] if self._later else self.at) - time.monotonic()
