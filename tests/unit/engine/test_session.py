"""Memory that is free goes back to the system."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import numpy as np
from layers.engine.session import lean_malloc, trim

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096

lean_malloc()
before = resident()
blocks = [np.ones(300_000, np.uint8) for _ in range(400)]  # below the threshold, so on the heap
held = resident()
kept = blocks[-1]
del blocks
trim()
print(held - before, resident() - before)
"""


def test_freed_blocks_are_given_back() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    during, after = map(int, process.stdout.split())
    assert during > 100_000_000
    assert after < 10_000_000
