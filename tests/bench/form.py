"""The command line of every benchmark: at true size, or in quick form, which keeps no number and shows that it runs."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.bench import WARM_RUNS

OUT = Path("out/bench")


@dataclass(frozen=True)
class Options:
    """What the command line asks of a benchmark."""

    quick: bool
    repeats: int
    avx2: bool  # measure only the part that is held to AVX2
    inputs: Path  # a folder for inputs that are prepared once
    out: Path  # a folder for results
    detector: Path | None = None  # a detector's file, in place of the demo pack's

    @property
    def environ(self) -> dict[str, str]:
        """Environment variables of the arms' processes."""
        return {WARM_RUNS: "1"} if self.quick else {}


@contextmanager
def parse_options(
    name: str, description: str | None, *, inputs: Path, repeats: int, avx2: bool = True, detector: bool = False
) -> Iterator[Options]:
    """Parse the command line; `repeats` is the default, and in quick form it is 1.

    A quick benchmark's files go to a temporary folder. `avx2`, `detector`: the benchmark has that switch.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.bench.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--quick", action="store_true", help="tiny networks, one run, results are discarded")
    if avx2:
        parser.add_argument("--avx2", action="store_true", help="measure only as on a processor without AVX-512")
    if detector:
        parser.add_argument("--detector", type=Path, help="a detector's ONNX file, in place of the demo pack's")
    arguments = parser.parse_args()
    file = arguments.detector if detector else None
    only_avx2 = avx2 and arguments.avx2
    if not arguments.quick:
        OUT.mkdir(parents=True, exist_ok=True)
        yield Options(False, arguments.repeats, only_avx2, inputs, OUT, file)
        return
    with tempfile.TemporaryDirectory(prefix="coldswap-bench-") as folder:
        out = Path(folder) / "out"
        out.mkdir()
        yield Options(True, 1, only_avx2, Path(folder) / "inputs", out, file)
