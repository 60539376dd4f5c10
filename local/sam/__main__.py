"""`python -m local.sam`: builds, tests and measures the images, on a Docker engine that is started if none is running.

Writes out/sam.json. With --full the memory that a swap needs and its cost by MemorySize are measured too; with --sizes
only the latter, without the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from local.cloud import ROOT
from local.sam.base_image import ensure_base_image
from local.sam.build import BuildFailed, build, functions, image_layers, image_name, image_sizes
from local.sam.docker_engine import Engine, NoEngine, docker_engine
from local.sam.measure import Say, measure, measure_first_responses
from local.sam.sizes import SANDBOXES, advise, format_tables, measure_sizes, write_report
from tests.bench.bench import conditions

OUT = ROOT / "out/sam.json"
QUICK_SIZES = (1024, 1769)


def main() -> int:
    """Run the command; the exit status is 0 also where there is no engine, which is then printed."""
    parser = argparse.ArgumentParser(prog="make test-sam", description=__doc__)
    parser.add_argument("--full", action="store_true", help="also measure memory and cost by MemorySize (40 minutes)")
    parser.add_argument("--sizes", action="store_true", help="only measure cost by MemorySize (ten minutes)")
    parser.add_argument("--quick", action="store_true", help="with --sizes: tiny networks, two sizes, no file")
    options = parser.parse_args()
    os.nice(5)
    try:
        with docker_engine() as running:
            return _measure_sizes(running, options.quick) if options.sizes else _run_all(running, options.full)
    except NoEngine as error:
        print(f"The images were not tested. {error}")
        return 0
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1


def _timed_output() -> Say:
    """A function that prints what is done, and when since now."""
    began = time.monotonic()

    def say(doing: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {doing}", flush=True)

    return say


def _measure_sizes(running: Engine, quick: bool) -> int:
    say = _timed_output()
    template = build(running, ensure_base_image(running))
    say("built the images")
    if quick:
        rows = measure_sizes(running, template, say, sizes=QUICK_SIZES, sandboxes=1, quick=True)
        print(format_tables({"measured": conditions(1), "advice": advise(rows), "curve": rows}))
    else:
        write_report(measure_sizes(running, template, say), conditions(SANDBOXES))
    return 0


def _run_all(running: Engine, full: bool) -> int:
    say = _timed_output()
    name = ensure_base_image(running)
    say(f"sam build, from {name}")
    template = build(running, name)
    report: dict[str, Any] = {**_last_full_run(), "base": name, "images": image_sizes(running, template)}
    for logical, function in functions(template).items():
        for size, origin in image_layers(running, image_name(function, logical)):
            print(f"          {size / 1e6:7.1f} MB  {origin}")
    say("running the tests in containers")
    tests = [sys.executable, "-m", "pytest", "tests/sam", "--timeout", "300", *([] if full else ["-m", "not full"])]
    result = subprocess.run(tests, cwd=ROOT, env={**os.environ, "COLDSWAP_SAM": json.dumps(asdict(running))})
    say("measuring cold starts")
    with tempfile.TemporaryDirectory(prefix="coldswap-") as folder:
        report |= measure_first_responses(running, template, Path(folder))
        if full:
            report |= measure(running, template, Path(folder), say)
            write_report(measure_sizes(running, template, say), conditions(SANDBOXES))
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    say(f"wrote {OUT.relative_to(ROOT)}: {json.dumps(report)}")
    return result.returncode


def _last_full_run() -> dict[str, Any]:
    """The measurements of the last full run; empty if there was none."""
    empty = {"smallest_memory_mb": {"demo": None, "fullsize": None}}
    report: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    return {key: report.get(key, value) for key, value in empty.items()}


if __name__ == "__main__":
    sys.exit(main())
