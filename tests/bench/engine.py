"""The swapper alone at true size: `python -m tests.bench.engine [--repeats N] [--quick] [--avx2]`.

See engine_arm.py, which a fresh process runs. Writes out/bench/engine.json, and with --avx2 engine-avx2.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.bench import FILES, MODELS, form, hold
from tests.bench.bench import FOLDER, prepare, process


def measure(inputs: Path, repeats: int, held: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Seconds and CPU seconds a face by arm, their ratios to the naive arm, and parity to fp32 in dB."""
    file = inputs / "objects" / MODELS / "naive" / FILES[2]
    return process("tests.bench.engine_arm", [str(file), str(repeats)], {**os.environ, **(held or {})})


def main() -> None:
    """Measure, print and write."""
    with form.asked("engine", __doc__, inputs=FOLDER, repeats=5) as asked:
        prepare(asked.inputs, asked.quick)
        report = measure(asked.inputs, asked.repeats, hold.held(asked.inputs) if asked.avx2 else None)
        text = json.dumps(report, indent=2)
        (asked.out / ("engine-avx2.json" if asked.avx2 else "engine.json")).write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
