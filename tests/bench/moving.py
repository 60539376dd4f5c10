"""What a moving meme costs beside the swapper's own work, and beside the way peers do it:

    python -m tests.bench.moving [--repeats N] [--quick]

A drawn clip of one face that is always seen, no frame of which repeats another, at 480x270 and 1080p; CPU time on one
thread, with ffmpeg's. `bare` is the swapper at full size, by batch. `overhead` is what all three steps take for a
face-frame beside the swapper, over the swapper at the best batch. `cpu_peers` is all of ours over what frame by frame
takes: the same decoder and encoder, insightface's detector, its crop and whole-frame paste, and onnxruntime. `peak_mb`
is that of each step in a process of its own, what ffmpeg held at once added, with the demo pack's networks: a swapper
at full size has 280 MB more in `swap`. `ten_seconds`: 300 face-frames on ten executions, reckoned from these parts at
1,769 MB. Writes out/bench/moving.json.
"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import cv2
import numpy as np
import onnxruntime
from insightface.app.common import Face as TheirFace
from insightface.model_zoo.inswapper import INSwapper
from insightface.model_zoo.scrfd import SCRFD

from coldswap.packs import prepare_demo_pack
from coldswap.personal import locate_signing_key
from coldswap.workspace import OUTPUTS, open_workspace
from functions.swap.context import SwapContext
from functions.swap.moving import steps
from functions.swap.moving.job import MovingJob
from functions.swap.moving.swapped_chunk import BATCH_SIZE
from functions.swap.values import Floats, SwapRequest
from layers.core.deadline import Deadline
from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.stages import InMemoryWeights
from layers.media.ffmpeg import program
from layers.media.moving.description import Limits
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import create_writer
from layers.models.tools.convert import convert_swapper
from local.demo_pack import memes
from local.demo_pack.reference_pack import PACK
from tests.bench import form, instructions, prepare
from tests.bench.paste import _InstantSession
from tests.bench.quality import measure_cpu
from tests.bench.quiet import default_options
from tests.support.drawn_clips import Actor, Clip, Pose

SIZES = {"480x270": (480, 270), "1080p": (1920, 1080)}
BATCHES = (1, 4, 8, 16)
FRAMES = 90
LATER = Deadline.after(3600)
COLD_START, FETCH = 2.0, 2.0  # seconds of an execution before its first crop, and of a step's work files
GIGABYTE_SECOND = 0.0000166667  # dollars, x86 in us-east-1
MEMORY_GB = 1769 / 1024


class InstantSwapper:
    """Gives crops back at once, so that what is measured is everything else."""

    name = "none"

    def run(self, crops: Floats, latents: Floats) -> Floats:
        """The crops as they are."""
        return crops


class InstantPending:
    """A swapper whose weights are here."""

    def swapper(self, once: bool = False) -> InstantSwapper:
        """The swapper."""
        return InstantSwapper()

    def drop(self) -> int:
        """Nothing was wasted."""
        return 0


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


def cpu_seconds() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    ours, theirs = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return ours.ru_utime + ours.ru_stime + theirs.ru_utime + theirs.ru_stime


@contextmanager
def open_job(clip: Path, folder: Path | None = None) -> Iterator[tuple[MovingJob, SwapContext]]:
    """A swap of that clip by the demo pack, on one thread; `folder`: where its work files are kept."""
    with open_workspace(prepare_demo_pack(), 64 << 20, locate_signing_key()) as workspace:
        workspace.put("meme", clip.read_bytes())
        workspace.put("face", bytes(cv2.imencode(".png", memes._portrait(3, 3, "#9fd3c7"))[1]))
        if folder is not None:
            (workspace.folder / OUTPUTS).symlink_to(folder)
        context = replace(workspace.context, settings=replace(workspace.context.settings, threads=1))
        yield MovingJob("bench", SwapRequest(workspace.uri("meme"), face=workspace.uri("face"))), context


def measure_steps(clip: Path) -> tuple[dict[str, float], int]:
    """CPU seconds of each step beside the swapper, once warm, and the face-frames."""
    with open_job(clip) as (job, context):
        steps.analyse(job, context)
        steps.discard(job.id, context)
        began = cpu_seconds()
        summary = steps.analyse(job, context)
        parts = {"analyse": cpu_seconds() - began}
        began = cpu_seconds()
        with mock.patch.object(context.models, "start_swapper", return_value=InstantPending()):
            for number in range(summary.chunks):
                steps.swap_chunk(job, context, number)
        parts["swap"] = cpu_seconds() - began
        began = cpu_seconds()
        steps.compose(job, context, key="result")
        parts["compose"] = cpu_seconds() - began
    return parts, summary.face_frames


def measure_peers(clip: Path, session: Any) -> float:
    """CPU seconds of a frame, done as peers do it, beside the network of the swapper."""
    detector = SCRFD(model_file=str(PACK / "detector.onnx"), session=session)
    detector.prepare(-1, input_size=(640, 640))
    swapper = INSwapper.__new__(INSwapper)
    swapper.session, swapper.input_names, swapper.output_names = _InstantSession(), ["target", "source"], ["output"]
    swapper.input_size, swapper.input_mean, swapper.input_std = (128, 128), 0.0, 255.0
    swapper.emap = np.eye(512, dtype=np.float32)
    source = TheirFace(embedding=np.ones(512, np.float32))
    reader = MovingReader(clip, Limits())
    count, began = 0, cpu_seconds()
    with ExitStack() as stack:
        path = Path(stack.enter_context(tempfile.TemporaryDirectory()), "out.mp4")
        writer = stack.enter_context(create_writer(reader, path, "mp4", deadline=LATER))
        for frame in reader.frames(LATER):
            pixels = frame.pixels
            boxes, points = detector.detect(pixels, max_num=0)
            for five in points[: len(boxes)]:
                pixels = swapper.get(pixels, TheirFace(kps=five), source, paste_back=True)
            writer.write(frame, pixels)
            count += 1
        writer.close()
    return (cpu_seconds() - began) / count


def measure_swapper(folder: Path, repeats: int, quick: bool) -> tuple[dict[str, float], float]:
    """CPU seconds of a face by batch, and those of onnxruntime by default, one thread each."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "swapper.onnx"
    prepare.make_swapper(file, quick)
    blobs = convert_swapper(file).blobs
    description = Description.parse(bytes(blobs["native"]), len(blobs["weights"]))
    crops = np.zeros((max(BATCHES), 3, 128, 128), np.float32)
    latents = np.full((max(BATCHES), 512), 512**-0.5, np.float32)
    ours = {}
    engine = NativeSwapper(description, InMemoryWeights(blobs["weights"]), 1, instructions.instruction_set())
    for batch in BATCHES:
        seconds = measure_cpu(partial(engine.run, crops[:batch], latents[:batch]), repeats)
        ours[str(batch)] = round(seconds / batch, 4)
    engine.close()
    blobs.clear()
    naive = onnxruntime.InferenceSession(str(file), default_options(1), providers=["CPUExecutionProvider"])
    feeds = {"target": crops[:1], "source": latents[:1]}
    theirs = measure_cpu(lambda: naive.run(None, feeds), repeats)
    file.unlink()
    return ours, theirs


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
    """The ids of the processes that this one has started and that run."""
    children: list[str] = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # a thread that has ended meanwhile
            children += (task / "children").read_text().split()
    return children


def read_peak(process: str) -> float:
    """The peak of a process in MB; 0 for one that is over. `getrusage` would count its parent's too."""
    try:
        lines = Path("/proc", process, "status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM:"))


def reckon(parts: dict[str, float], faces: int, bare: float) -> dict[str, float]:
    """Wall seconds and dollars of 300 face-frames on ten executions of one processor each."""
    each = {step: seconds / faces * 300 for step, seconds in parts.items()}
    swap = (each["swap"] + 300 * bare) / 10
    wall = each["analyse"] + swap + each["compose"] + 3 * FETCH + COLD_START
    billed = each["analyse"] + 10 * (swap + FETCH + COLD_START) + each["compose"] + 2 * FETCH
    return {"wall_seconds": round(wall, 1), "dollars": round(billed * MEMORY_GB * GIGABYTE_SECOND, 5)}


def main() -> None:
    """Measure, print and write."""
    with form.parse_options(
        "moving", __doc__, inputs=Path("out/bench/inputs-moving"), repeats=3, avx2=False
    ) as options:
        cv2.setNumThreads(1)
        began = time.monotonic()
        frames = 6 if options.quick else FRAMES
        by_batch, theirs = measure_swapper(options.inputs, options.repeats, options.quick)
        best = min(by_batch, key=lambda batch: by_batch[batch])
        bare = by_batch[str(BATCH_SIZE)]
        session = onnxruntime.InferenceSession(
            str(PACK / "detector.onnx"), default_options(1), providers=["CPUExecutionProvider"]
        )
        report: dict[str, Any] = {"frames": frames, "bare": {**by_batch, "best": best, "default": BATCH_SIZE}}
        report["peers_network"] = round(theirs, 4)
        for name, size in SIZES.items():
            clip = options.inputs / f"{name}.mp4"
            draw_clip(clip, size, frames)
            parts, faces = measure_steps(clip)
            beside = sum(parts.values()) / faces
            peers = measure_peers(clip, session)
            report[name] = {
                "face_frames": faces,
                "cpu_a_face_frame": {step: round(seconds / faces, 4) for step, seconds in parts.items()},
                "overhead": round(beside / bare, 3),
                "peers_beside_network": round(peers, 4),
                "cpu_peers": round((beside + bare) / (peers + theirs), 3),
                "ten_seconds": reckon(parts, faces, bare),
                "peak_mb": measure_peaks(clip),
            }
        report["seconds"] = round(time.monotonic() - began)
        text = json.dumps(report, indent=2)
        (options.out / "moving.json").write_text(text + "\n")
        print(text)


if __name__ == "__main__":
    main()
