"""A process of the embedder's benchmark. embedder.py runs it:

    python -m tests.bench.embedder_arm FOLDER onnxruntime|native|both REPEATS OUT.json

One arm alone gives its peak of memory; both, in turn, the least CPU of each, what the native one's goes into, and the
cosine of their embeddings.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from layers.core.telemetry import peak_memory_mb
from layers.engine.native_embedder import EMBEDDING, LAST_PIXELS, SIDE, EmbedderDescription, NativeEmbedder
from layers.engine.stages import InMemoryWeights, StagePlan
from layers.engine.swapper import Floats
from tests.bench.instructions import instruction_set

TILE, POINTS = 4, {1: 36, 2: 81}  # layers/engine/native/winograd.h: outputs of a tile's side; products by stride


class TimedWeights(InMemoryWeights):
    """Weights that note when each layer was done with its own, which is when they are released."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.window = len(data) << 1
        self.releases: list[tuple[int, float]] = []

    def release(self, upto: int) -> None:
        """Note the time."""
        self.releases.append((upto, time.perf_counter()))


def read_native(folder: Path) -> tuple[EmbedderDescription, bytes]:
    """The network as the native engine takes it: its description and its weights."""
    weights = (folder / "native_weights").read_bytes()
    return EmbedderDescription.parse((folder / "native").read_bytes(), len(weights)), weights


def make_embedder(folder: Path, arm: str) -> Any:
    """An embedder with one thread."""
    if arm == "native":
        description, weights = read_native(folder)
        return NativeEmbedder(description, InMemoryWeights(weights), 1, instruction_set())
    from layers.engine.onnx_embedder import OnnxEmbedder

    plan = StagePlan.parse((folder / "plan").read_bytes())
    return OnnxEmbedder(plan, InMemoryWeights((folder / "staged_weights").read_bytes()), 1)


def list_layers(description: EmbedderDescription) -> list[tuple[str, float]]:
    """The part of each layer, in order of use, and the GFLOP that it does: without transforms, but with the tiles that
    lie over an edge."""
    side, ins = SIDE, description.width

    def tiled(channels: int, stride: int) -> float:
        return 2e-9 * channels * POINTS[stride] * (-(-side // TILE)) ** 2

    layers = [("stem", 2e-9 * ins * 27 * side * side)]
    for number, blocks in enumerate(description.blocks):
        part, outs = f"part {number + 1}", description.width << number
        for block in range(blocks):
            layers.append((part, tiled(ins * outs, 1)))
            side //= 1 if block else 2
            layers.append((part, tiled(outs * outs, 1 if block else 2)))
            if not block:
                layers.append((part, 2e-9 * ins * outs * side * side))
            ins = outs
    return [*layers, ("dense", 2e-9 * ins * LAST_PIXELS * EMBEDDING)]


def measure_parts(folder: Path, crop: Floats, repeats: int) -> dict[str, float]:
    """Seconds by part of the fastest run."""
    description, data = read_native(folder)
    weights = TimedWeights(data)
    native = NativeEmbedder(description, weights, 1, instruction_set())
    layers = list_layers(description)
    next_starts = [at for at, _ in description.weights[1:]] + [len(data)]
    runs: list[dict[str, float]] = []
    for _ in range(repeats + 1):
        weights.releases.clear()
        seconds = dict.fromkeys((part for part, _ in layers), 0.0)
        began = time.perf_counter()
        native.run(crop)
        for (part, _), start in zip(layers, next_starts, strict=True):
            ended = next(at for upto, at in weights.releases if upto >= start)
            seconds[part] += ended - began
            began = ended
        runs.append(seconds)
    return min(runs, key=lambda seconds: sum(seconds.values()))


def describe_parts(folder: Path, crop: Floats, repeats: int, instructions: str) -> dict[str, Any]:
    """By part: milliseconds, GFLOP, and the share of the machine's peak that it reaches."""
    from tests.bench.roofline import peaks

    gflop: dict[str, float] = {}
    for part, work in list_layers(read_native(folder)[0]):
        gflop[part] = gflop.get(part, 0.0) + work
    top = peaks(instructions)
    return {
        part: {
            "ms": round(seconds * 1000, 2),
            "gflop": round(gflop[part], 3),
            **({"share_of_peak": round(gflop[part] / seconds / top["gflop_per_s"], 3)} if top and seconds else {}),
        }
        for part, seconds in measure_parts(folder, crop, repeats).items()
    }


def measure_both(folder: Path, crop: Floats, repeats: int) -> dict[str, Any]:
    """Measure both arms in turn."""
    from tests.bench.hold import onnxruntime_block

    arms = {arm: make_embedder(folder, arm) for arm in ("onnxruntime", "native")}
    least = dict.fromkeys(arms, float("inf"))
    embeddings: dict[str, Floats] = {}
    for _ in range(repeats + 1):
        for name, arm in arms.items():
            cpu = time.process_time()
            embeddings[name] = arm.run(crop)[0]
            least[name] = min(least[name], time.process_time() - cpu)
    one, other = (embedding.astype(np.float64) for embedding in embeddings.values())
    instructions = arms["native"].name.split()[1]
    return {
        "repeats": repeats,
        "onnxruntime_block": onnxruntime_block(),
        "cpu_ms": {name: round(seconds * 1000, 1) for name, seconds in least.items()},
        "cpu": round(least["native"] / least["onnxruntime"], 3),
        "cosine": round(float(one @ other / np.linalg.norm(one) / np.linalg.norm(other)), 7),
        "parts": describe_parts(folder, crop, repeats, instructions),
    }


def main() -> None:
    """Run and write."""
    folder, arm, repeats, out = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    crop = np.random.default_rng(0).uniform(-1, 1, (1, 3, SIDE, SIDE)).astype(np.float32)
    if arm == "both":
        report = measure_both(folder, crop, repeats)
    else:
        make_embedder(folder, arm).run(crop)
        report = {"peak_mb": peak_memory_mb()}
    out.write_text(json.dumps(report))


if __name__ == "__main__":
    main()
