"""Memory and time of a swap at true size, naive against ours:

    python -m tests.bench.bench [--repeats N] [--quick] [--avx2]

Every run is a fresh process, against an S3 on this machine in another process, on four lines: unlimited, a steady 300
and 80 MB/s, and as on Lambda (300 MB at full speed, then 80 MB/s). Arms alternate; medians are reported, and the worst
of the peaks.

- The whole function as deployed, with its imports, on two whole processors (3538 MB): with a new face, with the stack's
  default face, whose latent is cached, and unloading everything after each request.
- The same, limited to the processors and the memory that Lambda gives at four sizes, on Lambda's line.
- The swapper alone: its cold start (cold_arm.py), and warm (engine_arm.py) with what limits it.
- The embedder alone (embedder.py).
- What `avx2` needs again, with both arms held to AVX2 (hold.py), as on Lambda, whose processors have no AVX-512.

Writes out/bench/swap.json and swap.png. `ratios` and `avx2` are the summaries; --avx2 only measures the latter
again and leaves the rest of swap.json as it is.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import cv2
import numpy as np

from tests.bench import MODELS, OUTPUTS, PICTURE, RESULT, UPLOADS, form, hold, limits, swap_plot

FOLDER = Path("build/bench")
LINES = {"full_speed": (0.0, 0.0), "300_MB_per_s": (300.0, 0.0), "80_MB_per_s": (80.0, 0.0), "lambda": (80.0, 300.0)}
"""Megabytes per second (0: unlimited), and megabytes that come first at full speed."""
RATIO_LINES = ("full_speed", "80_MB_per_s")  # that `ratios` uses
ARMS: dict[str, tuple[str, dict[str, str]]] = {
    "naive": ("naive", {}),
    "ours": ("ours", {}),
    "ours_default_face": ("ours", {"DEFAULT_FACE": f"s3://{UPLOADS}/{PICTURE}"}),
    "ours_windowed": ("ours", {"MODEL_RETENTION": "request"}),
}
COLD_ARMS = ("bare", "naive", "staged", "native", "windowed")
SIZES_MB = (512, 1024, 1769, 3008)
WHOLE_MB = 1769  # with which Lambda gives one whole processor; the template's default
TWO_WHOLE_MB = 2 * WHOLE_MB  # the equivalent of two whole cores on Lambda
MEASURED = ("cold_s", "warm_s", "cpu_s", "peak_mb", "warm_peak_mb", "model_bytes")
PEAKS = ("peak_mb", "warm_peak_mb")
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True)
class S3Line:
    """An S3 behind a line of limited speed."""

    url: str
    process: subprocess.Popen[str]

    def restore_burst(self) -> None:
        """Allow the burst again, as for a new sandbox."""
        assert self.process.stdin
        self.process.stdin.write("\n")
        self.process.stdin.flush()


@contextmanager
def server(rate: float = 0.0, burst: float = 0.0, folder: Path = FOLDER) -> Iterator[S3Line]:
    """Run an S3 of the folder's objects that delivers `rate` MB per second (0: unlimited) after `burst` MB."""
    command = [sys.executable, "-m", "tests.bench.server", str(folder), str(rate), "127.0.0.1", str(burst)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        try:
            yield S3Line(process.stdout.readline().strip(), process)
        finally:
            process.stdin.close()


def environment(url: str, memory_mb: int = TWO_WHOLE_MB) -> dict[str, str]:
    """Environment of a function's process whose AWS is at the URL."""
    return {
        "PATH": os.environ["PATH"],
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "bench",
        "AWS_SECRET_ACCESS_KEY": "bench",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(memory_mb),
        "MODELS_BUCKET": MODELS,
        "UPLOADS_BUCKET": UPLOADS,
        "OUTPUTS_BUCKET": OUTPUTS,
        "DEFAULT_FACE": "",
        "POWERTOOLS_SERVICE_NAME": "swap",
        "POWERTOOLS_METRICS_NAMESPACE": "Coldswap",
    }


def process(
    module: str, arguments: Sequence[str], environ: Mapping[str, str], enter: Callable[[], None] | None = None
) -> dict[str, Any]:
    """Run one fresh process of an arm; the cost that it measured. `enter` is called in it first."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "cost.json"
        command = [sys.executable, "-m", module, *arguments, str(out)]
        environment = {**environ, "BENCH_STARTED": str(time.time())}
        result = subprocess.run(command, env=environment, capture_output=True, text=True, preexec_fn=enter)
        if result.returncode:
            raise RuntimeError(
                f"{module} {' '.join(arguments)} failed:\n{result.stdout[-2000:]}{result.stderr[-4000:]}"
            )
        cost: dict[str, Any] = json.loads(out.read_text())
    return cost


def run(
    arm: str, s3: S3Line, memory_mb: int = TWO_WHOLE_MB, more: Mapping[str, str] = NOTHING
) -> tuple[dict[str, Any], Any]:
    """Run the whole function once; its cost, and the result's picture (uint8 BGR)."""
    which, settings = ARMS[arm]
    s3.restore_burst()
    cost = process("tests.bench.arm", [which], {**environment(s3.url, memory_mb), **settings, **more})
    with urlopen(f"{s3.url}/{OUTPUTS}/{RESULT}") as answer:
        return cost, cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)


def measure(
    repeats: int,
    lines: Iterable[str],
    memory_mb: int = TWO_WHOLE_MB,
    *,
    inputs: Path = FOLDER,
    more: Mapping[str, str] = NOTHING,
) -> dict[str, Any]:
    """Measure the whole function: all arms on all lines, and how far ours is from insightface's classes. `more` is
    added to their environment."""
    report: dict[str, Any] = {}
    embeddings: dict[str, Any] = {}
    pictures: dict[str, Any] = {}
    for name in lines:
        with server(*LINES[name], inputs) as s3:
            run("ours_default_face", s3)  # leaves the default face's latent in the bucket
            runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in ARMS}
            for _ in range(repeats):
                for arm in ARMS:
                    cost, pictures[arm] = run(arm, s3, memory_mb, more)
                    embeddings[arm] = np.array(cost.pop("embedding"))
                    runs[arm].append(cost)
                    print(name, arm, {key: round(value, 2) for key, value in cost.items()}, flush=True)
        report[name] = summarise(runs, MEASURED)
    naive, ours = embeddings["naive"], embeddings["ours"]
    meme = cv2.imread(str(inputs / "objects" / UPLOADS / PICTURE), cv2.IMREAD_COLOR)
    assert meme is not None
    report["parity"] = {
        "embedding_cosine": float(naive @ ours / np.linalg.norm(naive) / np.linalg.norm(ours)),
        "swap_levels": int(np.abs(pictures["naive"].astype(int) - pictures["ours"]).max()),
        "swap_changed_levels": int(np.abs(pictures["naive"].astype(int) - meme).max()),
    }
    return report


def measure_cold(
    repeats: int, lines: Iterable[str], *, inputs: Path = FOLDER, more: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
    """Measure the swapper alone, from the request for its first byte to the first output."""
    report = {}
    for name in lines:
        runs: dict[str, list[dict[str, Any]]] = {arm: [] for arm in COLD_ARMS}
        with server(*LINES[name], inputs) as s3:
            for _ in range(repeats):
                for arm in COLD_ARMS:
                    s3.restore_burst()
                    runs[arm].append(process("tests.bench.cold_arm", [arm], {**environment(s3.url), **more}))
        report[name] = summarise(runs, ("first_output_s", "cpu_s", "peak_mb"))
        print(name, json.dumps(report[name]), flush=True)
    return report


def measure_sizes(
    sizes: Iterable[int] = SIZES_MB, *, inputs: Path = FOLDER, more: Mapping[str, str] = NOTHING
) -> dict[str, Any]:
    """Measure cold and warm seconds of the whole function by MemorySize, on Lambda's line, or that it was killed."""
    if not limits.available():
        return {"left_out": "this process may not create control groups"}
    report: dict[str, Any] = {}
    with server(*LINES["lambda"], inputs) as s3:
        run("ours_default_face", s3)
        for size in sizes:
            for arm in ("naive", "ours", "ours_default_face"):
                which, settings = ARMS[arm]
                environ = {**environment(s3.url, size), **settings, **more}
                s3.restore_burst()
                with limits.limit(size / WHOLE_MB, size) as enter:
                    try:
                        cost = process("tests.bench.arm", [which], environ, enter)
                        cost_or_reason = {key: round(cost[key], 2) for key in ("cold_s", "warm_s", "warm_peak_mb")}
                    except RuntimeError:
                        cost_or_reason = {
                            "ended": "killed"
                        }  # an arm that works without the limit fails for no other reason
                report.setdefault(str(size), {})[arm] = cost_or_reason
                print(size, arm, cost_or_reason, flush=True)
    return report


def summarise(runs: Mapping[str, Sequence[Mapping[str, Any]]], keys: Sequence[str]) -> dict[str, Any]:
    """Summarise the runs by arm: medians, the worst of the peaks, and ratios to the naive arm."""
    costs = {
        arm: {
            key: round((max if key in PEAKS else statistics.median)(cost[key] for cost in several), 3) for key in keys
        }
        for arm, several in runs.items()
    }
    over = {
        arm: {key: round(cost[key] / costs["naive"][key], 3) for key in keys}
        for arm, cost in costs.items()
        if arm != "naive"
    }
    return {**costs, "over_naive": over}


def ratios(report: Mapping[str, Any]) -> dict[str, float]:
    """The summary: ratios to the naive arm; `first_output_80MBps` is relative to the bare download of the same bytes,
    and `parity_db` to onnxruntime's own arithmetic."""
    function, cold, warm = report["function"]["full_speed"], report["cold"], report["engine"]
    steady = cold["80_MB_per_s"]
    return {
        "warm_time": warm["over_naive"]["native, 2 threads"]["time"],
        "peak_resident": function["over_naive"]["ours"]["peak_mb"],
        "peak_windowed": function["over_naive"]["ours_windowed"]["peak_mb"],
        "swapper_peak_resident": cold["full_speed"]["over_naive"]["native"]["peak_mb"],
        "swapper_peak_windowed": cold["full_speed"]["over_naive"]["windowed"]["peak_mb"],
        "first_output_80MBps": round(steady["native"]["first_output_s"] / steady["bare"]["first_output_s"], 3),
        "cold_cpu": function["over_naive"]["ours"]["cpu_s"],
        "function_cold_time": function["over_naive"]["ours"]["cold_s"],
        "function_warm_time": function["over_naive"]["ours"]["warm_s"],
        "parity_db": warm["parity_db"],
    }


def measure_all(options: form.Options) -> dict[str, Any]:
    """Measure everything except what is held to AVX2."""
    from tests.bench import embedder, engine  # late: they import this module

    report: dict[str, Any] = {"engine": engine.measure(options.inputs, options.repeats)}
    report["embedder"] = embedder.measure(options)
    report |= _measure_lines(options, tuple(LINES), tuple(LINES), options.environ)
    sizes = SIZES_MB[-1:] if options.quick else SIZES_MB
    report["sizes"] = measure_sizes(sizes, inputs=options.inputs, more=options.environ)
    return {**report, "ratios": ratios(report)}


def measure_avx2(options: form.Options) -> dict[str, Any]:
    """Measure what the ratios need with both arms held to AVX2; the measurements and the ratios."""
    from tests.bench import engine

    settings = hold.hold_to_avx2(options.inputs)
    report: dict[str, Any] = {"engine": engine.measure(options.inputs, options.repeats, settings)}
    if report["engine"]["onnxruntime_block"] != 8:
        raise RuntimeError("onnxruntime uses AVX-512 although it is held to AVX2")
    report |= _measure_lines(options, RATIO_LINES, RATIO_LINES[:1], {**options.environ, **settings})
    return {"avx2": {"naive": hold.HOW, "measured": conditions(options.repeats), **ratios(report)}, "avx2_runs": report}


def _measure_lines(
    options: form.Options, cold: Sequence[str], function: Sequence[str], more: Mapping[str, str]
) -> dict[str, Any]:
    """Measure the swapper's cold start and the function on these lines; in quick form the last line stands for all."""
    if not options.quick:
        return {
            "cold": measure_cold(options.repeats, cold, inputs=options.inputs, more=more),
            "function": measure(options.repeats, function, inputs=options.inputs, more=more),
        }
    one = measure_cold(options.repeats, cold[-1:], inputs=options.inputs, more=more)[cold[-1]]
    whole = measure(options.repeats, function[-1:], inputs=options.inputs, more=more)
    return {"cold": dict.fromkeys(cold, one), "function": {**whole, **dict.fromkeys(function, whole[function[-1]])}}


def conditions(repeats: int) -> dict[str, Any]:
    """The date and the machine of a measurement."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "date": date.today().isoformat(),
        "machine": model[1] if model else platform.machine(),
        "best_instructions": hold.best_instructions(),
        "cpus": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[2], 1),  # of the last 15 minutes, the benchmark's own 1 to 2 included
        "repeats": repeats,
    }


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("bench", __doc__, inputs=FOLDER, repeats=3) as options:
        prepare(options.inputs, options.quick)
        out = options.out / "swap.json"
        if options.avx2:
            report = json.loads(out.read_text()) if out.exists() else {}
        else:
            report = measure_all(options)
            report = {**conditions(options.repeats), **report}
        report |= measure_avx2(options)
        out.write_text(json.dumps(report, indent=2) + "\n")
        if not options.avx2:
            swap_plot.plot(report, out.with_suffix(".png"))
        print(json.dumps(report, indent=2))


def prepare(folder: Path, quick: bool = False) -> None:
    """Prepare the inputs of all swap benchmarks in the folder."""
    command = [sys.executable, "-m", "tests.bench.prepare", str(folder), *(["quick"] if quick else [])]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
