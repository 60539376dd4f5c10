"""The second step: a chunk of crops in, the same chunk swapped out. Neither frames nor ffmpeg are needed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from functions.swap.context import SwapContext
from functions.swap.face.align import SWAPPER_SIZE, to_pixels, to_planes
from functions.swap.moving.crop_chunks import CROP_BYTES, CropChunk
from functions.swap.moving.job import MovingJob
from functions.swap.moving.outcome import ChunkSummary
from functions.swap.moving.plan import SwapPlan, read_latents, require_plan
from functions.swap.moving.values import FaceFrame
from functions.swap.moving.work_files import WorkFiles
from functions.swap.values import Floats
from layers.core.errors import NotFound
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from functions.swap.remote.choice import Remote
    from layers.engine.swapper import Swapper

BATCH_SIZE = 4  # crops that go through the swapper together; each of them takes 25 MB more


@dataclass(frozen=True)
class ChunkFacts:
    """What swapping a chunk took."""

    engine: str
    seconds: float
    bytes_fetched: int
    remote_seconds: float = 0.0  # of a swapper elsewhere
    remote_dollars: float = 0.0


def swap_chunk(job: MovingJob, context: SwapContext, number: int, batch_size: int = BATCH_SIZE) -> ChunkSummary:
    """Swap the chunk of that number, unless it is done. Raises WorkGone, OutOfTime, NotFound, the models' errors."""
    job.require()
    work = WorkFiles(job.id, context)
    plan = require_plan(work)
    chunk = plan.chunks[number]
    if work.exists(chunk.swapped):
        return ChunkSummary(chunk.face_frames, 0.0)
    start, bytes_before = time.monotonic(), context.models.bytes_fetched
    if context.remote is not None:
        facts = _swap_elsewhere(job, context, context.remote, work, plan, number)
        if facts is not None:
            return ChunkSummary(chunk.face_frames, facts.seconds)
    pending = context.models.start_swapper(context.deadline)
    try:
        crops = CropChunk.from_bytes(work.read(chunk.crops))
        latents = _choose_latents(plan, crops, read_latents(work.read(plan.latents)))
        swapper = pending.swapper(once=len(crops.faces) <= batch_size)
    except BaseException:
        pending.drop()
        raise

    def check(done: int) -> None:
        context.deadline.check("swapping faces")
        job.check("swap", done, chunk.face_frames)

    swapped = swap_crops(crops.crops, latents, swapper, check, batch_size)
    seconds = time.monotonic() - start
    facts = ChunkFacts(swapper.name, round(seconds, 3), context.models.bytes_fetched - bytes_before)
    _write(job, work, chunk.swapped, facts, CropChunk(crops.faces, swapped))
    return ChunkSummary(chunk.face_frames, seconds)


def _swap_elsewhere(
    job: MovingJob, context: SwapContext, remote: Remote, work: WorkFiles, plan: SwapPlan, number: int
) -> ChunkFacts | None:
    """The same, done by what the operator has chosen; None where that takes no crops, or failed: it is done here."""
    from functions.swap.remote.attempt import swap_elsewhere
    from functions.swap.remote.replicate import Replicate

    if isinstance(remote, Replicate):
        return None
    chunk, start = plan.chunks[number], time.monotonic()
    context.models.refresh(context.deadline)
    crops = CropChunk.from_bytes(work.read(chunk.crops))
    latents = _choose_latents(plan, crops, read_latents(work.read(plan.latents)))
    outcome = swap_elsewhere(remote, context.models.digests["swapper"], crops.crops, latents, context.deadline)
    if not isinstance(outcome, tuple):
        return None
    swapped, use = outcome
    facts = ChunkFacts(use.engine, round(time.monotonic() - start, 3), 0, use.seconds, use.dollars)
    _write(job, work, chunk.swapped, facts, CropChunk(crops.faces, swapped))
    return facts


def _write(job: MovingJob, work: WorkFiles, name: str, facts: ChunkFacts, swapped: CropChunk) -> None:
    """Write a swapped chunk. Raises NotFound if the swap was deleted meanwhile."""
    work.write(name, json.dumps(asdict(facts)).encode() + b"\n" + swapped.to_bytes())
    try:
        job.require()
    except NotFound:
        work.delete(name)  # whoever deleted the rest may not have seen it
        raise


def swap_crops(
    crops: Pixels, latents: Floats, swapper: Swapper, check: Callable[[int], None], batch_size: int = BATCH_SIZE
) -> Pixels:
    """Swap crops, uint8 BGR [N, 128, 128, 3], by latents [N, 512]. `check` hears of how many are done."""
    swapped = np.empty_like(crops)
    for first in range(0, len(crops), batch_size):
        check(first)
        batch = slice(first, first + batch_size)
        planes = np.concatenate([to_planes(crop) for crop in crops[batch]])
        for place, output in enumerate(swapper.run(planes, latents[batch]), first):
            swapped[place] = to_pixels(output[None])
    return swapped


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
