"""The process of the swapper's benchmark: `python -m tests.bench.engine_arm SWAPPER.onnx REPEATS OUT.json`.

The arms take turns: onnxruntime as everyone uses it, onnxruntime in stages, and the native engine with one and two
threads, with AVX2 alone, and with eight faces at once. Then Winograd as ONNX operators (race.py), and what limits the
engine (roofline.py). Medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import StagePlan
from layers.engine.swapper import Floats
from layers.models.tools.convert import InMemoryWeights, convert_swapper, psnr_db
from tests.bench.hold import onnxruntime_block
from tests.bench.instructions import wanted
from tests.bench.quiet import quiet
from tests.bench.race import race
from tests.bench.roofline import report as roofline

FACES = 8


def measure(file: Path, repeats: int) -> dict[str, Any]:
    """Seconds and CPU seconds a face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    lowered = convert_swapper(file)
    weights = InMemoryWeights(lowered.blobs["weights"])
    description = Description.parse(bytes(lowered.blobs["native"]), len(lowered.blobs["weights"]))
    naive = onnxruntime.InferenceSession(str(file), quiet(), providers=["CPUExecutionProvider"])
    staged = OnnxSwapper(StagePlan.parse(bytes(lowered.blobs["plan"])), weights, 2)
    random = np.random.default_rng(0)
    crops = random.random((FACES, 3, 128, 128), np.float32)
    latents = random.standard_normal((FACES, 512)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    one = slice(0, 1)
    engines = {
        "native, 2 threads": NativeSwapper(description, weights, 2, wanted()),
        "native, 1 thread": NativeSwapper(description, weights, 1, wanted()),
        "native, AVX2, 1 thread": NativeSwapper(description, weights, 1, "avx2"),
    }

    def by(swapper: Any, some: slice) -> Callable[[], Floats]:
        return lambda: np.asarray(swapper.run(crops[some], latents[some]), np.float32)

    arms: dict[str, tuple[int, Callable[[], Any]]] = {
        "naive": (1, lambda: naive.run(None, {"target": crops[one], "source": latents[one]})[0]),
        "onnxruntime in stages": (1, by(staged, one)),
        **{name: (1, by(engine, one)) for name, engine in engines.items()},
        f"native, {FACES} faces": (FACES, by(engines["native, 2 threads"], slice(None))),
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for number in range(repeats + 1):
        for name, (faces, run) in arms.items():
            began, cpu = time.perf_counter(), time.process_time()
            run()
            if number:  # the first of each warms up
                taken[name].append(((time.perf_counter() - began) / faces, (time.process_time() - cpu) / faces))
    medians = {name: [statistics.median(each) for each in zip(*times, strict=True)] for name, times in taken.items()}
    best = engines["native, 2 threads"].name.split()[1]
    one_thread = {"avx2": medians["native, AVX2, 1 thread"][1], best: medians["native, 1 thread"][1]}
    return {
        "repeats": repeats,
        "instructions": best,
        "onnxruntime_block": onnxruntime_block(),
        "a_face": {name: {"seconds": round(s, 3), "cpu_seconds": round(c, 3)} for name, (s, c) in medians.items()},
        "over_naive": {
            name: {"time": round(s / medians["naive"][0], 3), "cpu": round(c / medians["naive"][1], 3)}
            for name, (s, c) in medians.items()
        },
        "parity_db": round(psnr_db(by(engines["native, 2 threads"], one)(), by(staged, one)()), 1),
        "winograd_as_operators": race(repeats, description.width * 8),
        "roofline": roofline(description.width, one_thread),
    }


def main() -> None:
    """Measure and write."""
    file, repeats, out = sys.argv[1:]
    Path(out).write_text(json.dumps(measure(Path(file), int(repeats))))


if __name__ == "__main__":
    main()
