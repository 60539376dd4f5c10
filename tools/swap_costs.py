"""What swaps cost on Lambda, by their gigabyte-seconds: dollars, the best MemorySize, and when a server is cheaper."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from functions.swap.moving_state import DOLLARS_PER_GB_SECOND

DOLLARS_PER_REQUEST = 0.20e-6  # of Lambda, us-east-1 (aws.amazon.com/lambda/pricing)
FREE_GB_SECONDS = 400_000  # a month, of every account (the same page)
SERVER_DOLLARS = 7.0  # a month, of a server with 2 GB
COLD_SHARE = 0.1  # of all swaps, for the choice of a size
TOLERANCE = 1.1  # what the fastest size may cost over the cheapest


@dataclass(frozen=True)
class SizeCost:
    """Seconds of a swap with one MemorySize."""

    memory_mb: int
    cold_s: float
    warm_s: float

    @property
    def cold_gb_s(self) -> float:
        """Gigabyte-seconds of a cold swap."""
        return gigabyte_seconds(self.memory_mb, self.cold_s)

    @property
    def warm_gb_s(self) -> float:
        """Gigabyte-seconds of a warm swap."""
        return gigabyte_seconds(self.memory_mb, self.warm_s)


def gigabyte_seconds(memory_mb: int, seconds: float) -> float:
    """What Lambda bills, but for its rounding up to milliseconds; its gigabyte has 1024 MB."""
    return memory_mb / 1024 * seconds


def dollars(gb_s: float, requests: int = 1) -> float:
    """The price of these gigabyte-seconds and requests, without the free ones of a month."""
    return gb_s * DOLLARS_PER_GB_SECOND + requests * DOLLARS_PER_REQUEST


def break_even(gb_s: float, free_gb_s: float = 0.0) -> int:
    """Swaps a month, of so many gigabyte-seconds each, from which on the server is cheaper."""
    return round((SERVER_DOLLARS + free_gb_s * DOLLARS_PER_GB_SECOND) / dollars(gb_s))


def choose_size(sizes: Iterable[SizeCost]) -> SizeCost:
    """The size with the fastest warm swap, of those that cost at most a tenth more than the cheapest, if every tenth
    swap is cold. Raises ValueError if there is none."""
    costs = {size: (1 - COLD_SHARE) * size.warm_gb_s + COLD_SHARE * size.cold_gb_s for size in sizes}
    if not costs:
        raise ValueError("No size was measured.")
    least = min(costs.values())
    return min((size for size, cost in costs.items() if cost <= TOLERANCE * least), key=lambda size: size.warm_s)
