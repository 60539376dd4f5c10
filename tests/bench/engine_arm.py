"""The process of the swapper's benchmark. engine.py runs it:

    python -m tests.bench.engine_arm SWAPPER.onnx REPEATS OUT.json

The arms alternate: onnxruntime by default, onnxruntime in stages, and the native engine with one and two threads, with
AVX2 alone, and with eight faces at once. Then Winograd as ONNX operators (race.py), and what limits the engine
(roofline.py). Medians.
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
from layers.engine.stages import InMemoryWeights, StagePlan
from layers.engine.swapper import Floats
from layers.models.tools.convert import convert_swapper, psnr_db
from tests.bench.hold import onnxruntime_block
from tests.bench.instructions import instruction_set
from tests.bench.quiet import default_options
from tests.bench.race import race
from tests.bench.roofline import report as roofline

FACES = 8


def measure(file: Path, repeats: int) -> dict[str, Any]:
    """Measure seconds and CPU seconds per face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    converted = convert_swapper(file)
    weights = InMemoryWeights(converted.blobs["weights"])
    description = Description.parse(bytes(converted.blobs["native"]), len(converted.blobs["weights"]))
    naive = onnxruntime.InferenceSession(str(file), default_options(), providers=["CPUExecutionProvider"])
    staged = OnnxSwapper(StagePlan.parse(bytes(converted.blobs["plan"])), weights, 2)
    random = np.random.default_rng(0)
    crops = random.random((FACES, 3, 128, 128), np.float32)
    latents = random.standard_normal((FACES, 512)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    one = slice(0, 1)
    engines = {
        "native, 2 threads": NativeSwapper(description, weights, 2, instruction_set()),
        "native, 1 thread": NativeSwapper(description, weights, 1, instruction_set()),
        "native, AVX2, 1 thread": NativeSwapper(description, weights, 1, "avx2"),
    }

    def run_swapper(swapper: Any, some: slice) -> Callable[[], Floats]:
        return lambda: np.asarray(swapper.run(crops[some], latents[some]), np.float32)

    arms: dict[str, tuple[int, Callable[[], Any]]] = {
        "naive": (1, lambda: naive.run(None, {"target": crops[one], "source": latents[one]})[0]),
        "onnxruntime in stages": (1, run_swapper(staged, one)),
        **{name: (1, run_swapper(engine, one)) for name, engine in engines.items()},
        f"native, {FACES} faces": (FACES, run_swapper(engines["native, 2 threads"], slice(None))),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for number in range(repeats + 1):
        for name, (faces, run) in arms.items():
            began, cpu = time.perf_counter(), time.process_time()
            run()
            if number:  # the first run of each warms up
                times[name].append(((time.perf_counter() - began) / faces, (time.process_time() - cpu) / faces))
    medians = {name: [statistics.median(each) for each in zip(*values, strict=True)] for name, values in times.items()}
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
        "parity_db": round(psnr_db(run_swapper(engines["native, 2 threads"], one)(), run_swapper(staged, one)()), 1),
        "winograd_as_operators": race(repeats, description.width * 8),
        "roofline": roofline(description.width, one_thread),
    }


def main() -> None:
    """Measure and write."""
    file, repeats, out = sys.argv[1:]
    Path(out).write_text(json.dumps(measure(Path(file), int(repeats))))


if __name__ == "__main__":
    main()
