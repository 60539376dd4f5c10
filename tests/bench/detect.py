"""Finding faces in all looks, and a source's face, over one plain look of insightface's SCRFD at 512 pixels:

    python -m tests.bench.detect [--detector FILE] [--repeats N] [--quick]

FILE is any detector of the SCRFD family, for example det_500m.onnx; without it, the demo pack's. All on one session of
one thread; the demo's pictures at 1 and 12 megapixels. Writes out/bench/detect.json.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from insightface.model_zoo.scrfd import SCRFD

from functions.swap.face.detect import Detector
from functions.swap.settings import Settings
from layers.core.deadline import Deadline
from layers.engine.session import small_session
from layers.media.picture import Pixels
from local.demo_pack.memes import draw_demo_pictures
from local.demo_pack.reference_pack import PACK
from tests.bench import form

MEGAPIXELS = (1, 12)
SECONDS = 120.0


def draw_pictures(megapixels: float, count: int) -> list[Pixels]:
    """The demo's memes, enlarged to that size."""
    with tempfile.TemporaryDirectory(prefix="coldswap-bench-") as folder:
        paths = [drawn.path for drawn in draw_demo_pictures(Path(folder)) if drawn.caption]
        drawn = [np.asarray(cv2.imread(str(path)), np.uint8) for path in paths[:count]]
    scales = [(megapixels * 1e6 / (picture.shape[0] * picture.shape[1])) ** 0.5 for picture in drawn]
    resized = [cv2.resize(picture, None, fx=scale, fy=scale) for picture, scale in zip(drawn, scales, strict=True)]
    return [np.asarray(picture, np.uint8) for picture in resized]


def measure_seconds(ways: Sequence[Callable[[Pixels], Any]], pictures: list[Pixels], repeats: int) -> list[float]:
    """Median seconds of each way over the pictures, which they take in turn; of each picture, the best of `repeats`."""
    best = [[float("inf")] * len(pictures) for _ in ways]
    for _ in range(repeats):
        for number, picture in enumerate(pictures):
            for row, way in zip(best, ways, strict=True):
                began = time.perf_counter()
                way(picture)
                row[number] = min(row[number], time.perf_counter() - began)
    return [statistics.median(row) for row in best]


def measure(file: Path, repeats: int, pictures: int) -> dict[str, Any]:
    """Measure milliseconds per picture of one plain look, of all looks, and of those that find the largest face alone,
    as in a source, and the ratios to the first, by megapixels."""
    size, model = Settings.detection_size, file.read_bytes()
    network = small_session(model, 1)
    detector, plain = Detector(network, size), SCRFD(session=network)
    ways = (
        lambda picture: plain.detect(picture, input_size=(size, size)),
        lambda picture: detector.find(picture, Deadline.after(SECONDS)),
        lambda picture: detector.find_largest(picture, Deadline.after(SECONDS)),
    )
    report: dict[str, Any] = {
        "detector": hashlib.sha256(model).hexdigest(),
        "plain_ms": {},
        "looks_ms": {},
        "largest_ms": {},
        "ratio": {},
        "largest_ratio": {},
    }
    for megapixels in MEGAPIXELS:
        one, all_looks, largest = measure_seconds(ways, draw_pictures(megapixels, pictures), repeats)
        report["plain_ms"][megapixels] = round(1000 * one, 1)
        report["looks_ms"][megapixels] = round(1000 * all_looks, 1)
        report["largest_ms"][megapixels] = round(1000 * largest, 1)
        report["ratio"][megapixels] = round(all_looks / one, 2)
        report["largest_ratio"][megapixels] = round(largest / one, 2)
    return {"detector": hashlib.sha256(model).hexdigest(), **report}


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("detect", __doc__, inputs=PACK, repeats=5, avx2=False, detector=True) as options:
        cv2.setNumThreads(1)
        report = measure(options.detector or PACK / "detector.onnx", options.repeats, 1 if options.quick else 6)
        text = json.dumps(report, indent=2)
        (options.out / "detect.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
