"""`python -m local.sam`: everything about the images, on an engine that is brought up for it where there is none.

Writes out/sam.json. With --full the memory that a swap needs and the curve over MemorySize are measured too.
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
from local.sam.base_image import base
from local.sam.build import BuildFailed, build, layers, sizes
from local.sam.build import functions as functions_of
from local.sam.build import image as image_of
from local.sam.docker_engine import Engine, NoEngine, engine
from local.sam.measure import first_answers, measure

OUT = ROOT / "out/sam.json"


def main() -> int:
    """The exit status; 0 also where no engine can be had, with a sentence that says so."""
    parser = argparse.ArgumentParser(prog="make test-sam", description=__doc__)
    parser.add_argument("--full", action="store_true", help="measure the memory needed and the curve (20 minutes)")
    full = parser.parse_args().full
    os.nice(5)
    try:
        with engine() as running:
            return _all(running, full)
    except NoEngine as error:
        print(f"The images were not tested. {error}")
        return 0
    except BuildFailed as error:
        print(error, file=sys.stderr)
        return 1


def _all(running: Engine, full: bool) -> int:
    began = time.monotonic()

    def say(doing: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {doing}", flush=True)

    name = base(running)
    say(f"sam build, from {name}")
    template = build(running, name)
    report: dict[str, Any] = {**_measured(), "base": name, "images": sizes(running, template)}
    for logical, function in functions_of(template).items():
        for size, made in layers(running, image_of(function, logical)):
            print(f"          {size / 1e6:7.1f} MB  {made}")
    say("tests in containers")
    tests = [sys.executable, "-m", "pytest", "tests/sam", "--timeout", "300", *([] if full else ["-m", "not full"])]
    done = subprocess.run(tests, cwd=ROOT, env={**os.environ, "COLDSWAP_SAM": json.dumps(asdict(running))})
    say("first answers")
    with tempfile.TemporaryDirectory(prefix="coldswap-") as folder:
        report |= first_answers(running, template, Path(folder))
        if full:
            report |= measure(running, template, Path(folder), say)
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(report, indent=2) + "\n")
    say(f"{OUT.relative_to(ROOT)}: {json.dumps(report)}")
    return done.returncode


def _measured() -> dict[str, Any]:
    """What the last full run measured, if there was one."""
    empty = {"smallest_memory_mb": {"demo": None, "fullsize": None}, "curve": []}
    known: dict[str, Any] = json.loads(OUT.read_text()) if OUT.exists() else {}
    return {key: known.get(key, value) for key, value in empty.items()}


if __name__ == "__main__":
    sys.exit(main())
