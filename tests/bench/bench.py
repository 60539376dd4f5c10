"""Memory and time of a swap at true size, naive against ours: `python -m tests.bench.bench [--repeats N]`.

Every run is a fresh process with a whole function in it (its imports too), against an S3 on this machine in another
process: at full speed, and at a steady 80 MB/s, which is what Lambda gives after the first 300 MB. Ours runs twice:
with a face never seen, and with the stack's default face, whose latent is kept. Arms alternate; medians are reported,
and peaks are the worst. Writes out/bench/swap.json.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np

from tests.bench import MODELS, OUTPUTS, PICTURE, RESULT, UPLOADS

FOLDER = Path("build/bench")
OUT = Path("out/bench/swap.json")
RATES = {"full_speed": 0.0, "80_MB_per_s": 80.0}
ARMS = {"naive": ("naive", ""), "ours": ("ours", ""), "ours_default_face": ("ours", f"s3://{UPLOADS}/{PICTURE}")}
MEASURED = ("cold_s", "warm_s", "cpu_s", "peak_mb", "warm_peak_mb", "model_bytes")
PEAKS = ("peak_mb", "warm_peak_mb")


@contextmanager
def server(rate: float, folder: Path = FOLDER) -> Iterator[str]:
    """The URL of an S3 with the folder's objects that delivers that many MB a second (0: as fast as it can)."""
    command = [sys.executable, "-m", "tests.bench.server", str(folder), str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield process.stdout.readline().strip()
        finally:
            process.stdin.close()


def environment(url: str, default_face: str) -> dict[str, str]:
    """Of a function's process whose AWS is at the URL."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "MODELS_BUCKET": MODELS,
        "UPLOADS_BUCKET": UPLOADS,
        "OUTPUTS_BUCKET": OUTPUTS,
        "DEFAULT_FACE": default_face,
        "POWERTOOLS_SERVICE_NAME": "swap",
        "POWERTOOLS_METRICS_NAMESPACE": "Coldswap",
    }


def run(arm: str, url: str) -> tuple[dict[str, Any], Any]:
    """One fresh process: what it cost, and the picture it made (uint8 BGR)."""
    which, default_face = ARMS[arm]
    known = environment(url, default_face)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cost.json"
        known["BENCH_STARTED"] = str(time.time())
        command = [sys.executable, "-m", "tests.bench.arm", which, str(out)]
        done = subprocess.run(command, env=known, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"the {arm} arm failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        cost = json.loads(out.read_text())
    with urlopen(f"{url}/{OUTPUTS}/{RESULT}") as answer:
        return cost, cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)


def measure(repeats: int, rates: dict[str, float]) -> dict[str, Any]:
    """All arms at all rates, and how far ours is from insightface's classes."""
    subprocess.run([sys.executable, "-m", "tests.bench.prepare", str(FOLDER)], check=True)
    report: dict[str, Any] = {"cpus": len(os.sched_getaffinity(0)), "repeats": repeats}
    embeddings: dict[str, Any] = {}
    pictures: dict[str, Any] = {}
    for name, rate in rates.items():
        with server(rate) as url:
            run("ours_default_face", url)  # leaves the default face's latent in the bucket
            runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
            for _ in range(repeats):
                for arm in ARMS:
                    cost, pictures[arm] = run(arm, url)
                    embeddings[arm] = np.array(cost.pop("embedding"))
                    runs[arm].append(cost)
                    print(name, arm, {key: round(value, 2) for key, value in cost.items()}, flush=True)
        report[name] = _compared(runs)
    naive, ours = embeddings["naive"], embeddings["ours"]
    report["parity"] = {
        "embedding_cosine": float(naive @ ours / np.linalg.norm(naive) / np.linalg.norm(ours)),
        "swap_levels": int(np.abs(pictures["naive"].astype(int) - pictures["ours"]).max()),
        "swap_changed_levels": int(np.abs(pictures["naive"].astype(int) - _meme()).max()),
    }
    return report


def _compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    costs = {
        arm: {
            key: round((max if key in PEAKS else statistics.median)(cost[key] for cost in several), 3)
            for key in MEASURED
        }
        for arm, several in runs.items()
    }
    over = {
        arm: {key: round(cost[key] / costs["naive"][key], 3) for key in MEASURED}
        for arm, cost in costs.items()
        if arm != "naive"
    }
    return {**costs, "over_naive": over}


def _meme() -> Any:
    return cv2.imread(str(FOLDER / "objects" / UPLOADS / PICTURE), cv2.IMREAD_COLOR)


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.bench", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    report = measure(parser.parse_args().repeats, RATES)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
