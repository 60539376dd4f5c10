"""S3 for the benchmarks, in a process of its own. They run it:

    python -m tests.bench.server FOLDER RATE [HOST [BURST]]

Serves FOLDER/objects at RATE megabytes per second (0: unlimited) after the first BURST megabytes, which are unlimited;
each line of its standard input allows the burst again. Prints its URL, and ends with its standard input.
"""

from __future__ import annotations

import mmap
import sys
import threading
import time
from pathlib import Path

from tests.support.faulty_s3 import FaultyS3


class Pace:
    """Limits the rate of bytes over all connections together."""

    def __init__(self, rate: float, burst: float = 0.0) -> None:
        """`rate` in bytes per second; the first `burst` bytes are not limited."""
        self._rate = rate
        self._whole = self._burst = burst
        self._lock = threading.Lock()
        self._free_at = 0.0
        self._is_over = threading.Event()

    def end(self) -> None:
        """Let everything pass from now on, so that no connection holds up the end."""
        self._is_over.set()

    def restore_burst(self) -> None:
        """Allow the burst again."""
        with self._lock:
            self._burst, self._free_at = self._whole, 0.0

    def __call__(self, size: int) -> None:
        with self._lock:
            self._burst -= size
            if self._burst >= 0:
                return
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + size / self._rate
            wait = self._free_at - now
        self._is_over.wait(wait)


def main() -> None:
    """Serve until standard input ends."""
    root = Path(sys.argv[1]) / "objects"
    rate = float(sys.argv[2]) * 1e6 or float("inf")
    host = sys.argv[3] if len(sys.argv) > 3 else "127.0.0.1"
    burst = sys.argv[4] if len(sys.argv) > 4 else "0"
    pace = Pace(rate, float(burst) * 1e6)
    with FaultyS3(pace, host) as server:
        for path in root.rglob("*"):
            if path.is_file():
                with path.open("rb") as file:
                    server.objects[str(path.relative_to(root))] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        print(server.url, flush=True)
        for _ in sys.stdin:
            pace.restore_burst()
        pace.end()


if __name__ == "__main__":
    main()
