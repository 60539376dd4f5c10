"""S3 for the benchmark, in a process of its own: `python -m tests.bench.server FOLDER RATE [HOST [BURST]]`.

Serves FOLDER/objects at RATE megabytes a second (0: as fast as it can), after the first BURST megabytes, which pass
freely, and again after each line of its standard input. Prints its URL, and ends with its standard input.
"""

from __future__ import annotations

import mmap
import sys
import threading
import time
from pathlib import Path

from tests.support.faulty_s3 import FaultyS3


class Pace:
    """Lets bytes pass at a steady rate over all connections together."""

    def __init__(self, rate: float, burst: float = 0.0) -> None:
        """`rate` in bytes a second; the first `burst` bytes pass freely."""
        self._rate = rate
        self._whole = self._burst = burst
        self._lock = threading.Lock()
        self._free_at = 0.0

    def anew(self) -> None:
        """As at the start."""
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
        time.sleep(wait)  # this is the slow line itself: there is nothing to wait for


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
            pace.anew()


if __name__ == "__main__":
    main()
