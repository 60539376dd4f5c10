"""How large a benchmark is: at true size, or quick, which keeps no number and shows that all of it still runs."""

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
class Form:
    """What a benchmark is asked for."""

    quick: bool
    repeats: int
    avx2: bool  # only the part that is held to AVX2
    inputs: Path  # a folder for what is prepared once
    out: Path  # a folder for results

    @property
    def environ(self) -> dict[str, str]:
        """For the processes of the arms."""
        return {WARM_RUNS: "1"} if self.quick else {}


@contextmanager
def asked(name: str, description: str | None, *, inputs: Path, repeats: int, avx2: bool = True) -> Iterator[Form]:
    """The form that the command line asks for; `repeats` unless it says otherwise, once in the quick form.

    A quick benchmark's files go to a folder that is gone afterwards. `avx2`: the benchmark has that switch.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.bench.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--quick", action="store_true", help="tiny and once; keeps nothing")
    if avx2:
        parser.add_argument("--avx2", action="store_true", help="only as on a processor without AVX-512")
    arguments = parser.parse_args()
    held = avx2 and arguments.avx2
    if not arguments.quick:
        OUT.mkdir(parents=True, exist_ok=True)
        yield Form(False, arguments.repeats, held, inputs, OUT)
        return
    with tempfile.TemporaryDirectory(prefix="coldswap-bench-") as folder:
        out = Path(folder) / "out"
        out.mkdir()
        yield Form(True, 1, held, Path(folder) / "inputs", out)
