"""The swapper alone at true size: `python -m tests.bench.engine [--repeats N]`.

In one process, the arms take turns: onnxruntime as everyone uses it, onnxruntime in stages, and the native engine with
one and two threads, with AVX2 alone, and with eight faces at once. Then Winograd as ONNX operators (race.py), and what
limits the engine (roofline.py). Medians; writes out/bench/engine.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import Plan
from layers.engine.swapper import Floats
from layers.models.lower import Held, lower_swapper, psnr_db
from tests.bench import FILES, MODELS
from tests.bench.bench import FOLDER, prepare
from tests.bench.quiet import quiet
from tests.bench.race import race
from tests.bench.roofline import report as roofline

OUT = Path("out/bench/engine.json")
FACES = 8


def measure(repeats: int) -> dict[str, Any]:
    """Seconds and CPU seconds a face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    file = FOLDER / "objects" / MODELS / "naive" / FILES[2]
    lowered = lower_swapper(file)
    weights = Held(lowered.blobs["weights"])
    description = Description.parse(bytes(lowered.blobs["native"]), len(lowered.blobs["weights"]))
    naive = onnxruntime.InferenceSession(str(file), quiet(), providers=["CPUExecutionProvider"])
    staged = OnnxSwapper(Plan.parse(bytes(lowered.blobs["plan"])), weights, 2)
    random = np.random.default_rng(0)
    crops = random.random((FACES, 3, 128, 128), np.float32)
    latents = random.standard_normal((FACES, 512)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    one = slice(0, 1)
    engines = {
        "native, 2 threads": NativeSwapper(description, weights, 2),
        "native, 1 thread": NativeSwapper(description, weights, 1),
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
        "a_face": {name: {"seconds": round(s, 3), "cpu_seconds": round(c, 3)} for name, (s, c) in medians.items()},
        "over_naive": {
            name: {"time": round(s / medians["naive"][0], 3), "cpu": round(c / medians["naive"][1], 3)}
            for name, (s, c) in medians.items()
        },
        "parity_db": round(psnr_db(by(engines["native, 2 threads"], one)(), by(staged, one)()), 1),
        "winograd_as_operators": race(repeats),
        "roofline": roofline(description.width, one_thread),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    prepare()
    report = measure(parser.parse_args().repeats)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
