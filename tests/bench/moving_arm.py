"""One process of the benchmark of moving memes: a face-frame's CPU by its parts, ours and the peers' (moving.py).

    python -m tests.bench.moving_arm FOLDER REPEATS CLIP... OUT

FOLDER has the swapper, as moving.py writes it. All arms take turns, on one thread, and the least of each counts: other
work on the machine only ever adds.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
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
from functions.swap.values import Floats, SwapRequest
from layers.core.deadline import Deadline
from layers.engine.native_swapper import Description, NativeSwapper
from layers.engine.stages import InMemoryWeights
from layers.media.moving.description import Limits
from layers.media.moving.reader import MovingReader
from layers.media.moving.writer import create_writer
from local.demo_pack import memes
from local.demo_pack.reference_pack import PACK
from tests.bench import hold, instructions
from tests.bench.paste import _InstantSession
from tests.bench.quiet import default_options

BATCHES = (1, 4, 8, 16)
LATER = Deadline.after(3600)


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


def measure_steps(job: MovingJob, context: SwapContext) -> dict[str, float]:
    """CPU seconds of each step beside the swapper, and `face_frames`, their number."""
    steps.discard(job.id, context)
    began = cpu_seconds()
    summary = steps.analyse(job, context)
    parts = {"face_frames": float(summary.face_frames), "analyse": cpu_seconds() - began}
    began = cpu_seconds()
    with mock.patch.object(context.models, "start_swapper", return_value=InstantPending()):
        for number in range(summary.chunks):
            steps.swap_chunk(job, context, number)
    parts["swap"] = cpu_seconds() - began
    began = cpu_seconds()
    steps.compose(job, context, key="result")
    return {**parts, "compose": cpu_seconds() - began}


def measure_peers(clip: Path, detector: SCRFD) -> float:
    """CPU seconds of a frame, done as peers do it, beside the network of the swapper."""
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


def open_swapper(folder: Path) -> NativeSwapper:
    """Our swapper at full size, on one thread."""
    weights = (folder / "weights").read_bytes()
    description = Description.parse((folder / "native").read_bytes(), len(weights))
    return NativeSwapper(description, InMemoryWeights(bytearray(weights)), 1, instructions.instruction_set())


def list_arms(folder: Path) -> dict[str, Callable[[], Any]]:
    """The swapper by batch, and onnxruntime's by default, each once warm."""
    crops = np.zeros((max(BATCHES), 3, 128, 128), np.float32)
    latents = np.full((max(BATCHES), 512), 512**-0.5, np.float32)
    engine = open_swapper(folder)
    arms: dict[str, Callable[[], Any]] = {
        str(batch): partial(engine.run, crops[:batch], latents[:batch]) for batch in BATCHES
    }
    file = str(folder / "swapper.onnx")
    naive = onnxruntime.InferenceSession(file, default_options(1), providers=["CPUExecutionProvider"])
    arms["peers"] = partial(naive.run, None, {"target": crops[:1], "source": latents[:1]})
    arms["1"]()
    arms["peers"]()
    return arms


def measure(folder: Path, repeats: int, clips: list[Path]) -> dict[str, Any]:
    """The least CPU seconds of everything, of `repeats` rounds."""
    session = onnxruntime.InferenceSession(
        str(PACK / "detector.onnx"), default_options(1), providers=["CPUExecutionProvider"]
    )
    detector = SCRFD(model_file=str(PACK / "detector.onnx"), session=session)
    detector.prepare(-1, input_size=(640, 640))
    arms = list_arms(folder)
    swapper: dict[str, list[float]] = {name: [] for name in arms}
    beside: dict[str, list[dict[str, float]]] = {clip.stem: [] for clip in clips}
    for clip in clips:
        with open_job(clip) as (job, context):
            steps.analyse(job, context)
            for _ in range(repeats):
                for name, run in arms.items():
                    began = cpu_seconds()
                    run()
                    swapper[name].append(cpu_seconds() - began)
                beside[clip.stem].append({**measure_steps(job, context), "peers": measure_peers(clip, detector)})
    least = {name: min(seconds) for name, seconds in swapper.items()}
    return {
        "swapper": {str(batch): least[str(batch)] / batch for batch in BATCHES},
        "peers_network": least["peers"],
        "clips": {clip: {part: min(row[part] for row in rows) for part in rows[0]} for clip, rows in beside.items()},
        "onnxruntime_block": hold.onnxruntime_block(),
    }


def main() -> None:
    """Measure and write."""
    folder, repeats, *clips, out = sys.argv[1:]
    cv2.setNumThreads(1)
    report = measure(Path(folder), int(repeats), [Path(clip) for clip in clips])
    Path(out).write_text(json.dumps(report))


if __name__ == "__main__":
    main()
