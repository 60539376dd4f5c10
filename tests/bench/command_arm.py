"""Prints the median seconds of a warm swap by the library, on the clock and of CPU, as JSON:

python -m tests.bench.command_arm FACE MEME [MODELS]
"""

from __future__ import annotations

import json
import statistics
import sys
import time

from coldswap import swap

RUNS = 3


def main() -> None:
    """Swap once, then measure."""
    face, meme, *models = sys.argv[1:]
    seconds, cpu_seconds = [], []
    for _ in range(1 + RUNS):
        began, cpu_began = time.perf_counter(), time.process_time()
        swap(face, meme, format="png", models=models[0] if models else None)
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    print(json.dumps({"warm_s": statistics.median(seconds[1:]), "warm_cpu_s": statistics.median(cpu_seconds[1:])}))


if __name__ == "__main__":
    main()
