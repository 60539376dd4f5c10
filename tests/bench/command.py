"""The command on one's own machine, cold and warm:

    python -m tests.bench.command [--repeats N] [--quick]

Cold is `coldswap swap` in a fresh process, with its start; warm is one more swap by the library in a process that has
swapped. With the demo pack, and with networks of true size and random weights. `floor` is a process that does nothing
but print the command's version. Writes out/bench/command.json.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench import MODELS, PICTURE, UPLOADS, form
from tests.bench.bench import FOLDER, prepare

ROOT = Path(__file__).resolve().parents[2]


def environment(home: Path) -> dict[str, str]:
    """The variables of a user: not one of AWS's."""
    return {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}


def run(arguments: Sequence[str], home: Path) -> tuple[dict[str, float], str]:
    """Run a fresh process of Python: its seconds, its seconds of CPU, its peak of memory in MB, and its output."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=home, env=environment(home), stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with status {process.returncode}")
    cost = {
        "seconds": time.perf_counter() - began,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss * 1024 / 1e6,
    }
    return cost, output


def measure(face: Path, meme: Path, models: Path | None, repeats: int) -> dict[str, Any]:
    """Measure one pack: medians, and the engine."""
    pack = ["--models", str(models)] if models else []
    with tempfile.TemporaryDirectory(prefix="coldswap-bench-") as folder:
        home = Path(folder)
        command = ["-m", "coldswap", "swap", str(face), str(meme), "-o", "out.png", "--json", *pack]
        first, _ = run(command, home)  # makes the key, and converts the demo pack
        colds, warms, floors = [], [], []
        for _ in range(repeats):
            cost, output = run(command, home)
            colds.append(cost)
            warms.append(json.loads(run(["-m", "tests.bench.command_arm", str(face), str(meme), *pack[1:]], home)[1]))
            floors.append(run(["-m", "coldswap", "--version"], home)[0]["seconds"])
    return {
        "first_s": round(first["seconds"], 2),
        "cold_s": round(statistics.median(cost["seconds"] for cost in colds), 2),
        "cold_cpu_s": round(statistics.median(cost["cpu_s"] for cost in colds), 2),
        "peak_mb": round(max(cost["peak_mb"] for cost in colds)),
        "warm_s": round(statistics.median(warm["warm_s"] for warm in warms), 2),
        "warm_cpu_s": round(statistics.median(warm["warm_cpu_s"] for warm in warms), 2),
        "floor_s": round(statistics.median(floors), 2),
        "engine": json.loads(output)["engine"],
        "swapped": sum(face["swapped"] for face in json.loads(output)["faces"]),
    }


def measure_all(inputs: Path, repeats: int) -> dict[str, Any]:
    """Measure both packs; `inputs` has been prepared."""
    objects = (inputs / "objects").resolve()
    picture = objects / UPLOADS / PICTURE
    examples = ROOT / "examples"
    return {
        "demo": measure(examples / "face.jpg", examples / "meme.jpg", None, repeats),
        "true_size": measure(picture, picture, objects / MODELS, repeats),
    }


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("command", __doc__, inputs=FOLDER, repeats=5, avx2=False) as options:
        prepare(options.inputs, options.quick)
        text = json.dumps(measure_all(options.inputs, options.repeats), indent=2)
        (options.out / "command.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
