"""What limits the engine: the machine's peaks (roofline.cpp), and the share of them that a warm swap reaches."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from layers.engine.build import AVX2, AVX512, compiler
from layers.engine.native_swapper import layer_shapes

SOURCE = Path(__file__).with_suffix(".cpp")
SETS = {"avx2": (8, AVX2), "avx512": (16, AVX512)}
SIDES = (128, 128, 64, 32, *[32] * 12, 64, 128, 128, 128)  # of each convolution's output
# Products per output and channel that Winograd's transform leaves, by number of the convolution (winograd.h).
WITH_STRIDE_2 = dict.fromkeys((2, 3), 81 / 144)
WITHOUT = dict.fromkeys((0, 19), 1.0)
REMAINING = dict.fromkeys(range(20), 36 / 144) | WITH_STRIDE_2 | WITHOUT


def work(width: int) -> dict[str, float]:
    """GFLOP per face as the network is defined, and as the engine computes it (without transforms); GB of weights."""
    convolutions = layer_shapes(width)[:20]
    flops = [2 * float(np.prod(shape)) * side * side for shape, side in zip(convolutions, SIDES, strict=True)]
    flops_done = sum(each * REMAINING[number] for number, each in enumerate(flops))
    weights = sum(float(np.prod(shape)) * 2 for shape in layer_shapes(width))
    return {"gflop_defined": sum(flops) / 1e9, "gflop_done": flops_done / 1e9, "gb_of_weights": weights / 1e9}


def peaks(instructions: str) -> dict[str, float] | None:
    """GFLOP/s in registers and GB/s from memory, of one thread; None without a compiler or the instructions."""
    command = compiler()
    if command is None:
        return None
    lanes, flags = SETS[instructions]
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "roofline"
        options = ("-std=c++17", "-O3", "-ffp-contract=fast", f"-DLANES={lanes}", *flags)
        subprocess.run([command, *options, str(SOURCE), "-o", str(program)], check=True)
        result = subprocess.run([str(program)], capture_output=True, text=True)
    if result.returncode:
        return None
    arithmetic, memory = (float(each) for each in result.stdout.split())
    return {"gflop_per_s": arithmetic, "gb_per_s": memory}


def report(width: int, cpu_seconds: dict[str, float]) -> dict[str, Any]:
    """Compare `cpu_seconds` of one face, by instruction set, with the least that the peaks allow."""
    totals = work(width)
    result: dict[str, Any] = {name: round(value, 3) for name, value in totals.items()}
    for instructions, seconds in cpu_seconds.items():
        top = peaks(instructions)
        if top is None:
            continue
        arithmetic = totals["gflop_done"] / top["gflop_per_s"]
        result[instructions] = {
            **top,
            "gflop_per_s_achieved": round(totals["gflop_done"] / seconds, 1),
            "least_seconds_arithmetic": round(arithmetic, 3),
            "least_seconds_memory": round(totals["gb_of_weights"] / top["gb_per_s"], 3),
            "cpu_seconds": round(seconds, 3),
            "share_of_peak": round(arithmetic / seconds, 3),
        }
    return result
