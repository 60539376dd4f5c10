"""The swapper alone at true size:

    python -m tests.bench.engine [--repeats N] [--quick] [--avx2]

A fresh process runs engine_arm.py. Writes out/bench/engine.json, and with --avx2 engine-avx2.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import FILES, MODELS, form, hold
from tests.bench.bench import FOLDER, prepare, process


def measure(inputs: Path, repeats: int, settings: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Measure seconds and CPU seconds per face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    file = inputs / "objects" / MODELS / "naive" / FILES[2]
    return process("tests.bench.engine_arm", [str(file), str(repeats)], {**os.environ, **(settings or {})})


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("engine", __doc__, inputs=FOLDER, repeats=5) as options:
        prepare(options.inputs, options.quick)
        report = measure(options.inputs, options.repeats, hold.hold_to_avx2(options.inputs) if options.avx2 else None)
        text = json.dumps(report, indent=2)
        (options.out / ("engine-avx2.json" if options.avx2 else "engine.json")).write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
