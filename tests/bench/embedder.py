"""The embedder alone at true size, on the native engine over onnxruntime in stages, with equal instructions:

    python -m tests.bench.embedder [--repeats N] [--quick] [--avx2]

A network of w600k_r50's layers and random weights, one face, one thread, with the machine's best instructions and held
to AVX2 (hold.py); --avx2 only measures the latter. Every arm's peak of memory is that of a fresh process
(embedder_arm.py). Writes out/bench/embedder.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from layers.engine import onnx_embedder
from layers.models.tools.partition import partition_network
from tests.bench import form, hold
from tests.bench.bench import FOLDER, process
from tests.support.iresnets import random_iresnet

TRUE_SIZE, QUICK = (64, (3, 4, 14, 3)), (16, (1, 1, 1, 1))


def prepare(folder: Path, quick: bool) -> None:
    """Write what the arms read into the folder."""
    width, blocks = QUICK if quick else TRUE_SIZE
    network = random_iresnet(width, blocks)
    model = onnx.load_model_from_string(network.serialise_onnx())
    staged = partition_network(model, (onnx_embedder.INPUT,), onnx_embedder.OUTPUT)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan").write_bytes(staged.plan.dump())
    (folder / "staged_weights").write_bytes(staged.weights)
    (folder / "native").write_bytes(network.description.dump())
    (folder / "native_weights").write_bytes(network.weights)


def measure_set(folder: Path, repeats: int, settings: Mapping[str, str]) -> dict[str, Any]:
    """Measure with one instruction set: CPU, peak and their ratios to onnxruntime's, cosine, and CPU by part."""
    environ = {**os.environ, **settings}
    peaks = {
        arm: process("tests.bench.embedder_arm", [str(folder), arm, "1"], environ)["peak_mb"]
        for arm in ("onnxruntime", "native")
    }
    report = process("tests.bench.embedder_arm", [str(folder), "both", str(repeats)], environ)
    return {**report, "peak_mb": peaks, "memory": round(peaks["native"] / peaks["onnxruntime"], 3)}


def measure(options: form.Options) -> dict[str, Any]:
    """Measure with every instruction set, by its name."""
    folder = options.inputs / "embedder"
    prepare(folder, options.quick)
    sets = {"avx2": hold.hold_to_avx2(options.inputs)}
    if not options.avx2 and hold.best_instructions() != "avx2":
        sets = {hold.best_instructions(): {}, **sets}
    report = {name: measure_set(folder, options.repeats, settings) for name, settings in sets.items()}
    if report["avx2"]["onnxruntime_block"] != 8:
        raise RuntimeError("onnxruntime uses AVX-512 although it is held to AVX2")
    return report


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("embedder", __doc__, inputs=FOLDER, repeats=9) as options:
        text = json.dumps(measure(options), indent=2)
        (options.out / "embedder.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
