"""The second step: a chunk of crops in, the same chunk swapped out. Neither frames nor ffmpeg are needed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from functions.swap.backends.in_turn import Work, swap_in_turn
from functions.swap.backends.local_engine import LocalEngine
from functions.swap.context import SwapContext
from functions.swap.face.align import SWAPPER_SIZE
from functions.swap.moving.crop_chunks import CROP_BYTES, CropChunk
from functions.swap.moving.job import MovingJob
from functions.swap.moving.outcome import ChunkSummary
from functions.swap.moving.plan import SwapPlan, read_latents, require_plan
from functions.swap.moving.values import FaceFrame
from functions.swap.moving.work_files import WorkFiles
from functions.swap.values import Floats
from layers.core.errors import NotFound
from layers.media.picture import Pixels


@dataclass(frozen=True)
class ChunkFacts:
    """What swapping a chunk took."""

    engine: str
    seconds: float
    bytes_fetched: int
    remote_seconds: float = 0.0  # of a swapper elsewhere
    remote_dollars: float = 0.0


def swap_chunk(job: MovingJob, context: SwapContext, number: int) -> ChunkSummary:
    """Swap the chunk of that number, unless it is done. Raises WorkGone, OutOfTime, NotFound, the models' errors."""
    job.require()
    work = WorkFiles(job.id, context)
    plan = require_plan(work)
    chunk = plan.chunks[number]
    if work.exists(chunk.swapped):
        return ChunkSummary(chunk.face_frames, 0.0)
    start, bytes_before = time.monotonic(), context.models.bytes_fetched
    own_engine = LocalEngine(context.models, context.deadline, is_first=not context.remotes)
    try:
        crops = CropChunk.from_bytes(work.read(chunk.crops))
        latents = _choose_latents(plan, crops, read_latents(work.read(plan.latents)))
        swapped = swap_in_turn(
            [*context.remotes, own_engine],
            Work(context.models.digests["swapper"], crops.crops, latents),
            context.deadline,
            check=lambda done: job.check("swap", done, chunk.face_frames),
        )
    except BaseException:
        own_engine.drop()
        raise
    seconds, use = time.monotonic() - start, swapped.use
    bytes_fetched = context.models.bytes_fetched - bytes_before
    facts = ChunkFacts(
        swapped.engine, round(seconds, 3), bytes_fetched, use.seconds if use else 0.0, use.dollars if use else 0.0
    )
    _write(job, work, chunk.swapped, facts, CropChunk(crops.faces, swapped.crops))
    return ChunkSummary(chunk.face_frames, seconds)


def _write(job: MovingJob, work: WorkFiles, name: str, facts: ChunkFacts, swapped: CropChunk) -> None:
    """Write a swapped chunk. Raises NotFound if the swap was deleted meanwhile."""
    work.write(name, json.dumps(asdict(facts)).encode() + b"\n" + swapped.to_bytes())
    try:
        job.require()
    except NotFound:
        work.delete(name)  # whoever deleted the rest may not have seen it
        raise


def read_swapped(content: bytes) -> tuple[ChunkFacts, CropChunk]:
    """What `swap_chunk` wrote."""
    facts, _, crops = content.partition(b"\n")
    return ChunkFacts(**json.loads(facts)), CropChunk.from_bytes(crops)


class SwappedCrops:
    """All swapped crops of a meme, each read from a chunk's file when it is asked for."""

    def __init__(self) -> None:
        self._places: dict[FaceFrame, tuple[Path, int]] = {}

    def add(self, path: Path, faces: Sequence[FaceFrame]) -> None:
        """Add a file that has what `swap_chunk` wrote, for these faces in their order."""
        end = path.stat().st_size
        for place, face in enumerate(faces):
            self._places[face] = path, end - (len(faces) - place) * CROP_BYTES

    def read(self, face: FaceFrame) -> Pixels | None:
        """The crop of a face, uint8 BGR [128, 128, 3]; None without one."""
        if face not in self._places:
            return None
        path, start = self._places[face]
        crop = np.fromfile(path, np.uint8, CROP_BYTES, offset=start)
        return crop.reshape(SWAPPER_SIZE, SWAPPER_SIZE, 3)


def _choose_latents(plan: SwapPlan, crops: CropChunk, latents: Floats) -> Floats:
    """The latent of each crop, float32 [N, 512]."""
    sources = [plan.people[face.track].source for face in crops.faces]
    return latents[np.array(sources, np.intp)]
