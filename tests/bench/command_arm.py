"""Prints the median seconds of a warm swap by the library: `python -m tests.bench.command_arm FACE MEME [MODELS]`."""

from __future__ import annotations

import statistics
import sys
import time

from coldswap import swap

RUNS = 3


def main() -> None:
    """Swap once, then measure."""
    face, meme, *models = sys.argv[1:]
    seconds = []
    for _ in range(1 + RUNS):
        began = time.perf_counter()
        swap(face, meme, format="png", models=models[0] if models else None)
        seconds.append(time.perf_counter() - began)
    print(statistics.median(seconds[1:]))


if __name__ == "__main__":
    main()
