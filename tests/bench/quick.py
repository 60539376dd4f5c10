"""Runs every benchmark in its quick form, two at a time, to see that they work: `python -m tests.bench.quick`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

# The longest first.
RUNS = (
    ("bench",),
    ("video",),
    ("memory",),
    ("warm",),
    ("command",),
    ("cold",),
    ("engine", "--avx2"),
    ("embedder",),
    ("detect",),
    ("paste",),
    ("quality",),
    ("moving",),
    ("tracks",),
    ("looks",),
    ("shots",),
)


def run(command: Sequence[str]) -> bool:
    """Run a benchmark and print whether it succeeded, with its output if it did not."""
    name, *arguments = command
    began = time.monotonic()
    result = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", "--quick", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    outcome = "failed" if result.returncode else "runs"
    print(
        f"{result.stdout[-8000:] if result.returncode else ''}{name} {outcome} ({time.monotonic() - began:.0f} s)",
        flush=True,
    )
    return result.returncode == 0


def main() -> None:
    """Run all benchmarks; exit status 1 if one fails."""
    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(run, RUNS))
    sys.exit(0 if all(outcomes) else 1)


if __name__ == "__main__":
    main()
