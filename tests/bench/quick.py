"""Every benchmark in its quick form, two at a time: `python -m tests.bench.quick`. It keeps no number."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

# The longest first.
RUNS = (("bench",), ("video",), ("memory",), ("engine", "--avx2"))


def run(command: Sequence[str]) -> bool:
    """Whether the benchmark ended well; says so, and what it said if it did not."""
    name, *arguments = command
    began = time.monotonic()
    ran = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{name}", "--quick", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    ended = "failed" if ran.returncode else "runs"
    print(
        f"{ran.stdout[-8000:] if ran.returncode else ''}{name} {ended} ({time.monotonic() - began:.0f} s)", flush=True
    )
    return ran.returncode == 0


def main() -> None:
    """Run them all; exit status 1 if one fails."""
    with ThreadPoolExecutor(2) as two:
        ended_well = list(two.map(run, RUNS))
    sys.exit(0 if all(ended_well) else 1)


if __name__ == "__main__":
    main()
