"""The swapper alone at true size: `python -m tests.bench.engine [--repeats N]`.

In one process, the arms take turns: onnxruntime as everyone uses it, onnxruntime in stages, and the native engine with
one and two threads, with AVX2 alone, and with eight faces at once. Medians; writes out/bench/engine.json.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.session import session_options
from layers.engine.stages import Plan
from layers.engine.swapper import Floats
from layers.models.lower import Held, lower_swapper, psnr_db
from tests.bench import FILES, MODELS
from tests.bench.bench import FOLDER

OUT = Path("out/bench/engine.json")
FACES = 8


def measure(repeats: int) -> dict[str, Any]:
    """Seconds and CPU seconds a face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    subprocess.run([sys.executable, "-m", "tests.bench.prepare", str(FOLDER)], check=True)
    file = FOLDER / "objects" / MODELS / "naive" / FILES[2]
    lowered = lower_swapper(file)
    weights = Held(lowered.blobs["weights"])
    description = Description.parse(bytes(lowered.blobs["native"]), len(lowered.blobs["weights"]))
    naive = onnxruntime.InferenceSession(str(file), _quiet(), providers=["CPUExecutionProvider"])
    staged = OnnxSwapper(Plan.parse(bytes(lowered.blobs["plan"])), weights, 2)
    random = np.random.default_rng(0)
    crops = random.random((FACES, 3, 128, 128), np.float32)
    latents = random.standard_normal((FACES, 512)).astype(np.float32)
    latents /= np.linalg.norm(latents, axis=1, keepdims=True)
    one = slice(0, 1)
    engines = {
        "native, 2 threads": NativeSwapper(description, weights, 2),
        "native, 1 thread": NativeSwapper(description, weights, 1),
        "native, AVX2": NativeSwapper(description, weights, 2, "avx2"),
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
    return {
        "repeats": repeats,
        "a_face": {name: {"seconds": round(s, 3), "cpu_seconds": round(c, 3)} for name, (s, c) in medians.items()},
        "over_naive": {
            name: {"time": round(s / medians["naive"][0], 3), "cpu": round(c / medians["naive"][1], 3)}
            for name, (s, c) in medians.items()
        },
        "parity_db": round(psnr_db(by(engines["native, 2 threads"], one)(), by(staged, one)()), 1),
    }


def _quiet() -> onnxruntime.SessionOptions:
    """Onnxruntime's defaults, but for two threads and no warnings."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.log_severity_level = session_options(1).log_severity_level
    return options


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.engine", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    report = measure(parser.parse_args().repeats)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
