"""Memory of a swap at true size, in every configuration:

    python -m tests.bench.memory [--repeats N] [--quick] [--avx2]

Every row is a fresh process against an S3 on this machine; arms alternate, peaks are the worst of the runs and the rest
medians. `default/cold` is the deployed stack itself, on the local cloud, with a new face and a cold sandbox. Writes
out/bench/memory.json and out/bench/memory.png. With --avx2 (hold.py) they are memory-avx2.json and memory-avx2.png,
without the stack's row, since the local cloud is not held.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from layers.models.tools.publish import publish
from local.cloud import ROOT, Cloud
from local.swap_clients import put_input
from tests.bench import MODELS, UPLOADS, form, hold
from tests.bench.bench import NOTHING, environment, server
from tests.bench.memory_arm import WARM_RUNS, Arm, resident_mb
from tests.bench.memory_plot import plot
from tests.bench.prepare import (
    SIDE,
    SIZE,
    Folder,
    framed,
    make_detector,
    make_embedder,
    make_swapper,
    picture_with_one_face,
    version,
)
from tests.support import model_standins
from tests.support.swap_client import sandboxes

FOLDER = ROOT / "build/memory"
LICENCES = dict.fromkeys(("detector", "embedder", "swapper"), "none")
MEASURED = ("peak_mb", "resident_mb", "cold_s", "warm_s")
LARGER = 640
# Estimates of a hobby project's design document, in MB.
ESTIMATES = {"buffalo_l": 500, "inswapper": 700, "total": 1200}

ARMS = {
    # Parts, alone in a process with its imports.
    "naive/buffalo_l five models": Arm("naive", swapper="none", analysis="five"),
    "naive/the two needed": Arm("naive", swapper="none"),
    "naive/inswapper fp32": Arm("naive", swapper="fp32", analysis="none"),
    "naive/inswapper fp16": Arm("naive", swapper="fp16", analysis="none"),
    # Whole servers.
    "naive/five + fp32, 640": Arm("naive", LARGER, swapper="fp32", analysis="five"),
    "naive/five + fp16": Arm("naive", analysis="five"),
    "naive/fp32": Arm("naive", swapper="fp32"),
    "naive/fp16": Arm("naive"),
    "naive/fp16, 640": Arm("naive", LARGER),
    "naive/fp16, request": Arm("naive", keeps=False),
    "naive/fp16, latent known": Arm("naive", latent_known=True),
    "ours/new face": Arm("ours"),
    "ours/new face, 640": Arm("ours", LARGER),
    "ours/new face, request": Arm("ours", keeps=False),
    "ours/new face, 512 MB sandbox": Arm("ours", memory_mb=512),
    "ours/latent known": Arm("ours", latent_known=True),
    "ours/latent known, request": Arm("ours", latent_known=True, keeps=False),
}
QUICK = (
    "naive/five + fp32, 640",
    "naive/inswapper fp16",
    "naive/fp16, request",
    "naive/fp16, latent known",
    "ours/new face, 512 MB sandbox",
    "ours/latent known, request",
)
"""Arms that together cover every code path."""
DEFAULT = "default/cold"


def prepare(folder: Path, quick: bool = False) -> None:
    """Make full-size stand-ins, pictures and a pack, unless the same code has made them already."""
    marker = folder / "done"
    if marker.exists() and marker.read_text() == version():
        return
    marker.unlink(missing_ok=True)
    naive = folder / "objects" / MODELS / "naive"
    five = naive / "buffalo_l"
    five.mkdir(parents=True, exist_ok=True)
    objects = Folder(folder / "objects")
    picture = picture_with_one_face(five / "det_10g.onnx", make_detector(quick), (SIZE, LARGER))
    for size in (SIZE, LARGER):
        objects.put_object(UPLOADS, f"picture_{size}.jpg", framed(picture, SIDE * size // SIZE))
    make_embedder(five / "w600k_r50.onnx", quick)
    model_standins.face_numbers(five / "1k3d68.onnx", 192, 3309, *((8, (1, 1, 1, 1)) if quick else (64,)))
    model_standins.face_numbers(five / "2d106det.onnx", 192, 212, 16, (2, 2, 8, 2))
    model_standins.face_numbers(five / "genderage.onnx", 96, 3, 10, (1, 2, 4, 2))
    precisions: tuple[model_standins.Precision, ...] = ("fp32", "fp16")
    for precision in precisions:
        make_swapper(naive / f"swapper_{precision}.onnx", quick, precision)
    with tempfile.TemporaryDirectory() as lowering:
        links = {"detector": five / "det_10g.onnx", "embedder": five / "w600k_r50.onnx"}
        for model, path in {**links, "swapper": naive / "swapper_fp16.onnx"}.items():
            (Path(lowering) / f"{model}.onnx").symlink_to(path)
        publish(Path(lowering), MODELS, objects, "standin", LICENCES)
    marker.write_text(version())


def run(arm: Arm, url: str, more: Mapping[str, str] = NOTHING) -> dict[str, float]:
    """Run one fresh process, with `more` in its environment; its cost."""
    environ = {
        **environment(url),
        "DEFAULT_FACE": f"s3://{UPLOADS}/{arm.picture}" if arm.latent_known else "",
        "MODEL_RETENTION": "container" if arm.keeps else "request",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(arm.memory_mb),
        **more,
    }
    with tempfile.TemporaryDirectory() as folder:
        arm_file, cost = Path(folder) / "arm.json", Path(folder) / "cost.json"
        arm_file.write_text(json.dumps(asdict(arm)))
        environ["BENCH_STARTED"] = str(time.time())
        command = [sys.executable, "-m", "tests.bench.memory_arm", str(arm_file), str(cost)]
        result = subprocess.run(command, env=environ, capture_output=True, text=True, cwd=ROOT)
        if result.returncode:
            raise RuntimeError(f"{arm} failed:\n{result.stdout[-2000:]}{result.stderr[-4000:]}")
        measurement: dict[str, float] = json.loads(cost.read_text())
        return measurement


def deployed(repeats: int, inputs: Path) -> list[dict[str, float]]:
    """Measure the stack with the template's defaults and a new face: a cold request, then warm ones."""
    costs = []
    with Cloud() as cloud:
        cloud.deploy()
        s3, bucket = cloud.client("s3"), cloud.bucket("models")
        objects = inputs / "objects"
        for path in sorted((objects / MODELS).rglob("*")):
            if path.is_file() and "naive" not in path.parts:
                s3.upload_file(str(path), bucket, str(path.relative_to(objects / MODELS)))
        uri = put_input(cloud, objects / UPLOADS / f"picture_{SIZE}.jpg")
        for _ in range(repeats):
            cloud.force_cold_start()
            spent, peaks = [], []
            for number in range(1 + WARM_RUNS):
                began = time.perf_counter()
                response = cloud.request("POST", "/swap", {"meme": uri, "face": uri, "format": "png"})
                spent.append(time.perf_counter() - began)
                result = response.json()
                if response.status_code != 200 or result["cold_start"] != (number == 0):
                    raise RuntimeError(f"the deployed stack answered {response.status_code}: {response.text[:500]}")
                peaks.append(result["peak_memory_mb"])
            resident = max(resident_mb(process) for process in sandboxes(cloud))
            costs.append(
                {
                    "peak_mb": max(peaks),
                    "resident_mb": resident,
                    "cold_s": spent[0],
                    "warm_s": statistics.median(spent[1:]),
                }
            )
    return costs


def measure(
    repeats: int,
    arms: Mapping[str, Arm],
    with_stack: bool = True,
    *,
    inputs: Path = FOLDER,
    more: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """Measure every row, with the prepared `inputs`."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in arms}
    with server(folder=inputs) as s3:
        for size in {arm.size for arm in arms.values() if arm.latent_known}:
            run(Arm("ours", size, latent_known=True), s3.url, more)  # leaves the default face's latent in the bucket
        for _ in range(repeats):
            for name, arm in arms.items():
                runs[name].append(run(arm, s3.url, more))
                print(name, {key: round(value, 2) for key, value in runs[name][-1].items()}, flush=True)
    if with_stack:
        runs[DEFAULT] = deployed(repeats, inputs)
        print(DEFAULT, runs[DEFAULT], flush=True)
    rows = [
        {"name": name, "fullsize": True}
        | {
            key: round((max if key == "peak_mb" else statistics.median)(cost[key] for cost in costs), 3)
            for key in MEASURED
        }
        for name, costs in runs.items()
    ]
    return {"cpus": len(os.sched_getaffinity(0)), "repeats": repeats, "guesses_mb": ESTIMATES, "rows": rows}


def main() -> None:
    """Measure, print, draw and write."""
    with form.parse_options("memory", __doc__, inputs=FOLDER, repeats=3) as options:
        prepare(options.inputs, options.quick)
        arms = {name: ARMS[name] for name in QUICK} if options.quick else ARMS
        more = {**options.environ, **(hold.hold_to_avx2(options.inputs) if options.avx2 else {})}
        report = measure(options.repeats, arms, not options.avx2, inputs=options.inputs, more=more)
        out = options.out / ("memory-avx2.json" if options.avx2 else "memory.json")
        out.write_text(json.dumps(report, indent=2) + "\n")
        plot(report["rows"], out.with_suffix(".png"))
        for row in report["rows"]:
            print(f"{row['name']:30} " + "  ".join(f"{key} {row[key]:8.2f}" for key in MEASURED))


if __name__ == "__main__":
    main()
