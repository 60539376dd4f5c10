"""The curve from which the looks of videos are chosen: x264's presets and rate factors on the demo's footage.

    python -m tests.bench.looks [--repeats N] [--quick]

Each is the encode of a clip as the product makes it, without captions, by one thread: CPU seconds for each second of
video, relative to the settings of an earlier server (ultrafast, CRF 28); megabits a second; SSIM and PSNR against the
same pictures encoded without loss; and `blocks`, how much larger the steps between 16-pixel blocks are than those
within them, where the footage itself is smooth, in levels of 255. CPU is the least of all runs, the others are means
over the scenes; `worst_blocks` is that of the worst scene. Writes out/bench/looks.json.
"""

from __future__ import annotations

import json
import resource
import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from functions.video.render import clip
from functions.video.render.clip import EncoderInput, arguments
from functions.video.values import FPS, HEIGHT, WIDTH, Footage, Plan, Segment
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from local.standins import stock_footage as drawing
from tests.bench import form

SCENES = ("sunset-sea", "city-night", "northern-lights", "reef", "rain")
PRESETS = ("ultrafast", "superfast", "veryfast")
FACTORS = (20, 22, 24, 26, 28, 30)
OLD = "ultrafast 28"
SECONDS = 4
LOSSLESS = ("ultrafast", "0")
BLOCK = 16
SMOOTH = 2  # levels between neighbours: footage that is not rougher has no edge there
Planes = NDArray[np.int16]


def encode(source: EncoderInput, preset: str, factor: str, path: Path) -> float:
    """Encode SECONDS of the source as a clip; CPU seconds."""
    frames = SECONDS * FPS
    segment = Segment(0, 0, frames, Footage("", source.seconds, "", "", "", ()))
    before = _cpu()
    with patch.dict(clip._ENCODER, {"standard": (preset, factor)}), patch.object(clip, "_LEVELS", _levels(factor)):
        command = [*arguments(source, segment, Plan(frames, (segment,), ()), None, "standard"), str(path)]
    run(command, deadline=Deadline.after(600), threads=1)
    return _cpu() - before


def _levels(factor: str) -> dict[int, tuple[str, ...]]:
    return {side: () if factor == LOSSLESS[1] else level for side, level in clip._LEVELS.items()}


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def compare(path: Path, reference: Path) -> dict[str, float]:
    """SSIM, PSNR in decibels, and blocks of a clip, by luma."""
    decoded, truth = read_luma(path), read_luma(reference)
    noise = float(np.mean((decoded - truth).astype(np.float64) ** 2))
    inputs = ["-i", str(path), "-i", str(reference), "-lavfi", "ssim", "-f", "null", "-"]
    log = run(inputs, deadline=Deadline.after(600), threads=1, loglevel="info")
    ssim = float(log.rpartition(" Y:")[2].split()[0])
    return {"ssim": ssim, "psnr": 10 * np.log10(255**2 / noise), "blocks": measure_blocks(decoded, truth)}


def read_luma(path: Path) -> Planes:
    """Two frames a second, int16 [N, H, W]."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames"
        output = ["-vf", "fps=2", "-pix_fmt", "gray", "-f", "rawvideo", str(raw)]
        run(["-i", str(path), *output], deadline=Deadline.after(600), threads=1)
        return np.fromfile(raw, np.uint8).reshape(-1, HEIGHT, WIDTH).astype(np.int16)


def measure_blocks(decoded: Planes, truth: Planes) -> float:
    """Mean step over the edges of blocks, less the mean step elsewhere, where the truth is smooth, in levels."""
    excess = []
    for axis in (1, 2):
        steps, smooth = np.abs(np.diff(decoded, axis=axis)), np.abs(np.diff(truth, axis=axis)) <= SMOOTH
        edges = np.arange(1, decoded.shape[axis]) % BLOCK == 0
        at_edges = edges.reshape((1, -1, 1) if axis == 1 else (1, 1, -1)) & smooth
        excess.append(float(steps[at_edges].mean() - steps[smooth & ~at_edges].mean()))
    return statistics.fmean(excess)


def sources(names: tuple[str, ...]) -> Iterator[EncoderInput]:
    """The files of these scenes that a clip is made from."""
    for scene in drawing.SCENES:
        if scene.name in names:
            file = next(each for each in scene.renditions if min(each.width, each.height) == WIDTH)
            yield EncoderInput(drawing.rendition_file(scene, file), scene.fps, scene.seconds)


def measure(
    repeats: int, scenes: tuple[str, ...], presets: tuple[str, ...], factors: tuple[int, ...]
) -> dict[str, dict[str, float]]:
    """Measure every preset at every factor."""
    rows: dict[str, list[dict[str, float]]] = {f"{preset} {factor}": [] for preset in presets for factor in factors}
    for source in sources(scenes):
        with tempfile.TemporaryDirectory() as folder:
            reference, path = Path(folder) / "reference.mp4", Path(folder) / "clip.mp4"
            encode(source, *LOSSLESS, reference)
            for row, costs in rows.items():
                preset, factor = row.split()
                cpu = min(encode(source, preset, factor, path) for _ in range(repeats))
                rate = path.stat().st_size * 8 / SECONDS / 1e6
                costs.append({"cpu": cpu / SECONDS, "megabits": rate} | compare(path, reference))
    return {row: _summarise(costs) for row, costs in rows.items()}


def _summarise(costs: list[dict[str, float]]) -> dict[str, float]:
    means = {name: statistics.fmean(each[name] for each in costs) for name in costs[0]}
    return means | {"worst_blocks": max(each["blocks"] for each in costs)}


def main() -> None:
    """Measure, print and write."""
    with form.parse_options("looks", __doc__, inputs=drawing.FOLDER, repeats=2, avx2=False) as options:
        quick = (SCENES[:1], PRESETS[:1], (28,))
        table = measure(options.repeats, *(quick if options.quick else (SCENES, PRESETS, FACTORS)))
        old = table[OLD]["cpu"]
        report: dict[str, Any] = {
            name: {what: round(value, 4) for what, value in {**row, "cpu_over_old": row["cpu"] / old}.items()}
            for name, row in table.items()
        }
        text = json.dumps(report, indent=2)
        (options.out / "looks.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
