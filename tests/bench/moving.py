"""What a moving meme costs beside the swapper's own work, and beside the way peers do it:

    python -m tests.bench.moving [--repeats N] [--quick]

A drawn clip of one face that is always seen, no frame of which repeats another, at 480x270 and 1080p; CPU time on one
thread, with ffmpeg's. `bare` is the swapper at full size, by batch. `overhead` is what all three steps take for a
face-frame beside the swapper, over the swapper at the batch in use. `cpu_peers` is all of ours over what frame by frame
takes: the same decoder and encoder, insightface's detector, its crop and whole-frame paste, and onnxruntime. `avx2` has
the same with both held to AVX2 (hold.py), at 480x270. `peak_mb` is that of each step in a process of its own, what
ffmpeg held at once added, with the demo pack's networks: a swapper at full size has 280 MB more in `swap`.
`ten_seconds`: 300 face-frames on ten executions, reckoned from these parts at 1,769 MB. Writes out/bench/moving.json.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from functions.swap.backends.local_engine import BATCH_SIZE
from functions.swap.moving import steps
from functions.swap.moving.crop_chunks import EXECUTIONS
from functions.swap.moving_state import DOLLARS_PER_GB_SECOND
from layers.media.ffmpeg import program
from layers.models.tools.convert import convert_swapper
from tests.bench import bench, form, hold, prepare
from tests.bench.moving_arm import open_job
from tests.support.drawn_clips import Actor, Clip, Pose

SIZES = {"480x270": (480, 270), "1080p": (1920, 1080)}
FRAMES = 90
TEN_SECONDS = 300  # face-frames
COLD_START, FETCH = 2.0, 2.0  # seconds of an execution before its first crop, and of a step's work files
MEMORY_GB = 1769 / 1024


def draw_clip(path: Path, size: tuple[int, int], frames: int) -> None:
    """One face that sways, as an MP4 of 30 frames a second."""
    width, height = size
    unit = height / 7

    def pose(n: int) -> Pose:
        return Pose(unit, width / 2 + 0.15 * width * np.sin(n / 6), height / 2, 0.1 * np.sin(n / 7))

    clip = Clip([Actor(24, pose)], frames, size)
    source = ("-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", "30", "-i", "-")
    codec = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p")
    pixels = b"".join(clip.draw(n).tobytes() for n in range(frames))
    subprocess.run([program(), "-loglevel", "error", "-y", *source, *codec, str(path)], input=pixels, check=True)


def write_swapper(folder: Path, quick: bool) -> None:
    """Write the swapper's file, and what our engine makes of it, into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "swapper.onnx"
    prepare.make_swapper(file, quick)
    blobs = convert_swapper(file).blobs
    for name in ("native", "weights"):
        (folder / name).write_bytes(blobs[name])


def measure_peaks(clip: Path) -> dict[str, float]:
    """The peak of each step in MB, in a process of its own, with ffmpeg's largest process."""
    context = multiprocessing.get_context("spawn")
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for step in ("analyse", "swap", "compose"):
            queue = context.SimpleQueue()
            process = context.Process(target=run_step, args=(step, clip, Path(folder), queue.put))
            process.start()
            peaks[step] = queue.get()
            process.join()
    return peaks


def run_step(step: str, clip: Path, folder: Path, report: Callable[[float], None]) -> None:
    """Do one step with the files that an earlier process left in the folder; report the peak in MB."""
    cv2.setNumThreads(1)
    ended, largest = threading.Event(), [0.0]

    def watch() -> None:
        while not ended.wait(0.01):
            largest[0] = max(largest[0], sum(map(read_peak, list_children())))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with open_job(clip, folder) as (job, context):
        if step == "analyse":
            steps.analyse(job, context)
        elif step == "swap":
            for number in range(steps.analyse(job, context).chunks):  # which is done already
                steps.swap_chunk(job, context, number)
        else:
            steps.compose(job, context, key="result")
    ended.set()
    watcher.join()
    report(round(read_peak("self") + largest[0]))


def list_children() -> list[str]:
    """The ids of the running ffmpeg processes; one that was only forked yet has this process's memory."""
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread or a process that has ended meanwhile
            for child in (task / "children").read_text().split():
                if os.readlink(f"/proc/{child}/exe") == os.path.realpath(program()):
                    children.append(child)
    return children


def read_peak(process: str) -> float:
    """The peak of a process in MB; 0 for one that is over. `getrusage` would count its parent's too."""
    try:
        lines = Path("/proc", process, "status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def describe_clip(parts: Mapping[str, float], bare: float, peers_network: float) -> dict[str, Any]:
    """The figures of one clip, from seconds of CPU."""
    faces = parts["face_frames"]
    each = {step: parts[step] / faces for step in ("analyse", "swap", "compose")}
    beside = sum(each.values())
    return {
        "face_frames": int(faces),
        "cpu_a_face_frame": {step: round(seconds, 4) for step, seconds in each.items()},
        "overhead": round(beside / bare, 3),
        "peers_beside_network": round(parts["peers"], 4),
        "cpu_peers": round((beside + bare) / (parts["peers"] + peers_network), 3),
        "ten_seconds": reckon(each, bare),
    }


def describe_arm(report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of one process of moving_arm.py."""
    swapper, network = report["swapper"], report["peers_network"]
    best = min(swapper, key=lambda batch: swapper[batch])
    bare = {batch: round(seconds, 4) for batch, seconds in swapper.items()}
    clips = {name: describe_clip(parts, swapper[str(BATCH_SIZE)], network) for name, parts in report["clips"].items()}
    return {"bare": {**bare, "best": best, "default": BATCH_SIZE}, "peers_network": round(network, 4), **clips}


def reckon(each: Mapping[str, float], bare: float) -> dict[str, float]:
    """Wall seconds and dollars of ten seconds with one face on ten executions of one processor each."""
    analyse, compose = (each[step] * TEN_SECONDS for step in ("analyse", "compose"))
    swap = (each["swap"] + bare) * TEN_SECONDS / EXECUTIONS
    wall = analyse + swap + compose + 3 * FETCH + COLD_START
    billed = analyse + EXECUTIONS * (swap + FETCH + COLD_START) + compose + 2 * FETCH
    return {"wall_seconds": round(wall, 1), "dollars": round(billed * MEMORY_GB * DOLLARS_PER_GB_SECOND, 5)}


def main() -> None:
    """Measure, print and write."""
    with form.parse_options(
        "moving", __doc__, inputs=Path("out/bench/inputs-moving"), repeats=3, avx2=False
    ) as options:
        began = time.monotonic()
        folder = options.inputs
        write_swapper(folder, options.quick)
        clips = {name: folder / f"{name}.mp4" for name in SIZES}
        for name, clip in clips.items():
            draw_clip(clip, SIZES[name], 6 if options.quick else FRAMES)
        arguments = [str(folder), str(options.repeats), *map(str, clips.values())]
        report = describe_arm(bench.process("tests.bench.moving_arm", arguments, os.environ))
        for name, clip in clips.items():
            report[name]["peak_mb"] = measure_peaks(clip)
        held = {**os.environ, **hold.hold_to_avx2(folder)}
        avx2 = bench.process("tests.bench.moving_arm", arguments[:3], held)
        if avx2["onnxruntime_block"] != 8:
            raise RuntimeError("onnxruntime uses AVX-512 although it is held to AVX2")
        report |= {"avx2": {"naive": hold.HOW, **describe_arm(avx2)}, "measured": bench.conditions(options.repeats)}
        for name in ("swapper.onnx", "native", "weights"):
            (folder / name).unlink()
        text = json.dumps({**report, "seconds": round(time.monotonic() - began)}, indent=2)
        (options.out / "moving.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
