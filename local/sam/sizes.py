"""Measures a swap at true size by MemorySize, with AVX2 alone, as on Lambda: `make test-sam FULL=1` or SIZES=1.

Writes out/bench/sizes.json, and prints the tables of docs/benchmarks.md and docs/operations.md; so does
`python -m local.sam.sizes`, from the file. Seconds in a row are medians over some fresh sandboxes, which take turns;
`load` is the machine's highest load average at their ends, of which 1 or 2 are their own.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from local.cloud import ROOT
from local.sam.build import functions, image_name
from local.sam.docker_engine import Engine
from local.sam.held import hold_container
from local.sam.measure import FullSizeSwap, Say, full_size, sandbox
from tools.swap_costs import FREE_GB_SECONDS, SizeCost, break_even, choose_size, dollars, gigabyte_seconds
from tools.template import Template

OUT = ROOT / "out/bench/sizes.json"
SIZES = (512, 1024, 1769, 3008)
FACES = {"new": "a new face", "default": "the default face"}
SANDBOXES = 3  # of each size and face
WARM_RUNS = 5
NAME = "SwapFunction"

Row = dict[str, Any]
Start = Callable[[int, str], Any]
"""Starts a sandbox for a block, by MemorySize and face; its value invokes the function with that face's payload."""


def measure_sizes(
    engine: Engine,
    template: Template,
    say: Say,
    sizes: Sequence[int] = SIZES,
    sandboxes: int = SANDBOXES,
    quick: bool = False,
) -> list[Row]:
    """Measure; the rows by size and face. Quick: tiny networks, whose numbers mean nothing.

    Raises RuntimeError if the image cannot be held to AVX2, or was not.
    """
    function = functions(template)[NAME]
    handler, tag = function["Properties"]["ImageConfig"]["Command"][0], image_name(function, NAME)
    with tempfile.TemporaryDirectory(prefix="coldswap-held-") as folder, full_size(engine, quick) as swap:
        held = hold_container(engine, tag, Path(folder))

        def start(size: int, face: str) -> Any:
            environment = swap.environment if face == "new" else swap.default_environment
            return sandbox(engine, tag, handler, environment, size, held)

        return measure_rows(start, swap, say, sizes, sandboxes)


def measure_rows(start: Start, swap: FullSizeSwap, say: Say, sizes: Sequence[int], sandboxes: int) -> list[Row]:
    """Measure with sandboxes that `start` starts; the rows by size and face."""
    events = {"new": swap.event, "default": swap.default_event}
    with start(max(sizes), "default") as invoke:  # leaves the default face's latent in its bucket
        invoke(events["default"])
    runs: dict[tuple[int, str], list[Row]] = {(size, face): [] for size in sizes for face in FACES}
    for _ in range(sandboxes):
        for (size, face), several in runs.items():
            swap.restore_burst()
            with start(size, face) as invoke:
                several.append(measure_sandbox(invoke, events[face]))
            say(f"{size} MB, {FACES[face]}: {json.dumps(several[-1])}")
    return [summarise(size, face, several) for (size, face), several in runs.items()]


def measure_sandbox(invoke: Callable[[Any], Any], event: Mapping[str, Any]) -> Row:
    """One cold swap and some warm ones in one sandbox, or the error with which one failed.

    Raises RuntimeError if the engine was not held to AVX2.
    """
    seconds, peak = [], 0
    for _ in range(1 + WARM_RUNS):
        began = time.monotonic()
        try:
            response = invoke(event)
        except (OSError, ValueError):  # no response, or the emulator's text that it timed out
            response = {"errorType": "NoResponse"}
        seconds.append(time.monotonic() - began)
        if "errorType" in response:
            return {"error": response["errorType"]}
        if response["engine"] != "native avx2":
            raise RuntimeError(f"The swapper ran on {response['engine']}, not on the native engine with AVX2.")
        peak = max(peak, response["peak_memory_mb"])
    load = round(os.getloadavg()[0], 1)
    cold, warm = round(seconds[0], 3), round(statistics.median(seconds[1:]), 3)
    return {"cold_s": cold, "warm_s": warm, "peak_mb": peak, "load": load}


def summarise(size: int, face: str, runs: Sequence[Row]) -> Row:
    """One row of the curve: medians of the seconds, the worst of the peaks and of the loads; or the errors alone."""
    row: Row = {"memory_mb": size, "face": face}
    if errors := [run["error"] for run in runs if "error" in run]:
        return {**row, "errors": errors}
    cold, warm = (statistics.median(run[key] for run in runs) for key in ("cold_s", "warm_s"))
    return {
        **row,
        "cold_s": round(cold, 2),
        "warm_s": round(warm, 2),
        "cold_gb_s": round(gigabyte_seconds(size, cold), 2),
        "warm_gb_s": round(gigabyte_seconds(size, warm), 2),
        "peak_mb": max(run["peak_mb"] for run in runs),
        "load": max(run["load"] for run in runs),
    }


def advise(rows: Sequence[Row]) -> dict[str, Any]:
    """The best size by a new face's swaps, and what follows from it: dollars, and swaps a month from which on a server
    is cheaper. Sizes where a swap failed are no choice. Raises ValueError if none is left."""
    costs = [
        SizeCost(row["memory_mb"], row["cold_s"], row["warm_s"])
        for row in rows
        if row["face"] == "new" and "errors" not in row
    ]
    best = choose_size(costs)
    spent = {"cold": best.cold_gb_s, "warm": best.warm_gb_s}
    return {
        "memory_mb": best.memory_mb,
        "dollars_per_1000": {kind: round(1000 * dollars(gb_s), 3) for kind, gb_s in spent.items()},
        "break_even": {kind: break_even(gb_s) for kind, gb_s in spent.items()},
        "break_even_with_free": {kind: break_even(gb_s, FREE_GB_SECONDS) for kind, gb_s in spent.items()},
        "seconds_between_swaps": round(30 * 24 * 3600 / break_even(best.warm_gb_s)),
    }


def compare_sizes(rows: Sequence[Row], best_mb: int) -> list[str]:
    """A warm swap of a new face at each size, beside the best one's."""
    warm = {row["memory_mb"]: row for row in rows if row["face"] == "new" and "errors" not in row}
    best = warm.pop(best_mb)
    lines = []
    for size, row in warm.items():
        duration, price = row["warm_s"] / best["warm_s"], row["warm_gb_s"] / best["warm_gb_s"]
        lines.append(f"{size} MB: {duration:.2f} of the time, {price:.2f} of the price")
    return lines


def format_tables(report: Mapping[str, Any]) -> str:
    """The table of docs/benchmarks.md, and the rows and the sentence of docs/operations.md, to paste."""
    best = report["advice"]["memory_mb"]
    lines = [f"docs/benchmarks.md, A swap by memory size (measured: {json.dumps(report['measured'])}):", ""]
    lines += ["| MemorySize | face | cold s | warm s | cold GB-s | warm GB-s | load |", "| --- " * 7 + "|"]
    for row in report["curve"]:
        size = f"{row['memory_mb']} (best)" if row["memory_mb"] == best else str(row["memory_mb"])
        if "errors" in row:
            lines.append(f"| {size} | {FACES[row['face']]} | failed: {', '.join(row['errors'])} | | | | |")
            continue
        numbers = " | ".join(f"{row[key]:.1f}" for key in ("cold_s", "warm_s", "cold_gb_s", "warm_gb_s", "load"))
        lines.append(f"| {size} | {FACES[row['face']]} | {numbers} |")
    advice = report["advice"]
    price, swaps, more = advice["dollars_per_1000"], advice["break_even"], advice["break_even_with_free"]
    return "\n".join(
        [
            *lines,
            "",
            f"docs/operations.md, Costs (a new face at {best} MB):",
            "",
            *(f"Beside it, warm, {line}." for line in compare_sizes(report["curve"], best)),
            "",
            f"| 1,000 swaps, all cold | {price['cold']:.2f} |",
            f"| 1,000 swaps, all warm | {price['warm']:.2f} |",
            "",
            f"A server of 7 dollars a month (2 GB) becomes cheaper at about {swaps['cold']:,} cold or",
            f"{swaps['warm']:,} warm swaps a month; with the free GB-seconds at about {more['cold']:,} or",
            f"{more['warm']:,}, if it can do them: {swaps['warm']:,} swaps are one every",
            f"{advice['seconds_between_swaps']} seconds, day and night.",
        ]
    )


def write_report(rows: Sequence[Row], measured: Mapping[str, Any], out: Path = OUT) -> dict[str, Any]:
    """Write the file and print the tables; what was written. `measured`: when and on what machine."""
    report = {"measured": measured, "advice": advise(rows), "curve": list(rows)}
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=2) + "\n")
    print(format_tables(report))
    return report


if __name__ == "__main__":
    print(format_tables(json.loads(OUT.read_text())))
