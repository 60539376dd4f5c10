"""One process that only downloads: the bytes of these objects, in ranges, over as many connections as ours. cold.py
runs it:

    python -m tests.bench.bare_download BUCKET KEYS OUT.json

KEYS are separated by commas, and read in this order from the S3 at AWS_ENDPOINT_URL. Nothing is verified or kept.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

from layers.models.runtime.manifest import CHUNK_BYTES
from layers.models.runtime.s3_download import PARALLEL_RANGE_READS, PIECE_BYTES


def find_ranges(address: str, bucket: str, keys: list[str]) -> Iterator[tuple[str, int, int]]:
    """The path of each object, with the first byte and the last of each of its ranges."""
    connection = HTTPConnection(address)
    for key in keys:
        connection.request("HEAD", f"/{bucket}/{key}")
        answer = connection.getresponse()
        answer.read()
        size = int(answer.headers["Content-Length"])
        for start in range(0, size, CHUNK_BYTES):
            yield f"/{bucket}/{key}", start, min(start + CHUNK_BYTES, size) - 1


def download(address: str, ranges: Iterator[tuple[str, int, int]], lock: threading.Lock) -> None:
    """Read ranges until there are no more."""
    connection, room = HTTPConnection(address), memoryview(bytearray(PIECE_BYTES))
    while True:
        with lock:
            path, start, end = next(ranges, ("", 0, 0))
        if not path:
            return
        connection.request("GET", path, headers={"Range": f"bytes={start}-{end}"})
        answer = connection.getresponse()
        assert answer.status == 206
        while answer.readinto(room):
            pass


def main() -> None:
    """Download and write how long it took."""
    bucket, keys, out = sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3])
    address, lock = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, threading.Lock()
    ranges = list(find_ranges(address, bucket, keys))
    began, left = time.perf_counter(), iter(ranges)
    threads = [threading.Thread(target=download, args=(address, left, lock)) for _ in range(PARALLEL_RANGE_READS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    out.write_text(json.dumps({"seconds": seconds, "bytes": sum(end - start + 1 for _, start, end in ranges)}))


if __name__ == "__main__":
    main()
