"""The swap of a moving meme as three steps, each of which another execution may do: analyse, swap, compose.

Work files are under work/swaps/ID/ of the outputs bucket, under names made of what they are made from: a step whose
files exist has nothing to do.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from functions.swap import inputs
from functions.swap.context import SwapContext
from functions.swap.moving.job import SCRATCH, MovingJob
from functions.swap.moving.outcome import AnalysisSummary, ChunkSummary, PeopleListing
from functions.swap.moving.work_files import WorkFiles
from functions.swap.values import SwapOutcome
from layers.core.scratch_folders import scratch_folder
from layers.engine.session import roomy_malloc

if TYPE_CHECKING:
    from functions.swap.moving.store import PatchStore


def analyse(job: MovingJob, context: SwapContext) -> AnalysisSummary:
    """Fetch the meme, charge for it, find its people, choose among them, and write what the swapper takes.

    Raises the errors of reading, PictureTooLarge, UnsupportedPicture, BudgetSpent, ContentRefused, SafeguardFailed,
    NoFaceInMeme, NoFaceInSource, FaceRefused, InvalidRequest, OutOfTime, or NotFound if the swap was deleted.
    """
    _import_vision()
    from functions.swap.moving.analysis import SwapAnalysis
    from functions.swap.moving.plan import find_plan, is_complete, make_recipe

    job.require()
    inputs.check(job.request, context.settings)
    context.models.refresh(context.deadline)
    work = WorkFiles(job.id, context)
    plan = find_plan(work)
    if plan and plan.recipe == make_recipe(job.request, context) and is_complete(plan, work):
        return plan.summarize()
    with _open_folder() as (folder, store, pool):
        return SwapAnalysis(job, context, folder / "meme", store).run(pool).summarize()


def swap_chunk(job: MovingJob, context: SwapContext, number: int) -> ChunkSummary:
    """Swap the crops of the chunk of that number. Raises WorkGone, OutOfTime, the errors of the models, NotFound."""
    _import_vision()
    from functions.swap.moving import swapped_chunk

    return swapped_chunk.swap_chunk(job, context, number)


def compose(job: MovingJob, context: SwapContext, *, key: str, add_extension: bool = False) -> SwapOutcome:
    """Put the swapped faces into the frames, and write the labelled result to `key` of the outputs bucket.

    The outcome's result is a MovingResult. Raises WorkGone, OutOfTime, LabelFailed, StorageFailed, NotFound.
    """
    _import_vision()
    from functions.swap.moving.delivery import Delivery

    job.require()
    context.models.refresh(context.deadline)
    with scratch_folder(SCRATCH) as folder, roomy_malloc():
        return Delivery(job, context, folder).run(key, add_extension)


def list_people(job: MovingJob, context: SwapContext) -> PeopleListing:
    """List the people of a moving meme, by the numbers that a swap gives them. Raises what `analyse` raises."""
    _import_vision()
    from functions.swap.moving.analysis import MemeAnalysis
    from functions.swap.moving.listing import describe_people, record_listing

    job.require()
    context.models.refresh(context.deadline)
    with _open_folder() as (folder, store, _):
        look = MemeAnalysis(job, context, folder / "meme", store)
        reader = look.open()
        people = look.find_people(reader, look.make_detector())
        listing = describe_people(look, reader, people.analysis, context)
        record_listing(listing, look.digest_meme(), job.request.caller, context)
        return listing


def discard(name: str, context: SwapContext) -> None:
    """Delete the work files of the swap of that id: after its result is recorded, or when it is deleted or fails."""
    from functions.swap.moving.plan import MEME_FILE, find_plan

    work = WorkFiles(name, context)
    plan = find_plan(work)
    work.delete(MEME_FILE)
    for file in plan.files if plan else []:
        work.delete(file)


def swap_moving(job: MovingJob, context: SwapContext, *, key: str, add_extension: bool = False) -> SwapOutcome:
    """All steps in this process; the work files are deleted afterwards. Raises what the steps raise."""
    try:
        for number in range(analyse(job, context).chunks):
            swap_chunk(job, context, number)
        return compose(job, context, key=key, add_extension=add_extension)
    finally:
        discard(job.id, context)


@contextmanager
def _open_folder() -> Iterator[tuple[Path, PatchStore, ThreadPoolExecutor]]:
    """A folder for the meme, a store of what its frames show, and threads for what is read meanwhile."""
    _import_vision()
    from functions.swap.moving.store import open_store

    pool = ThreadPoolExecutor(4, thread_name_prefix="moving")
    try:
        with scratch_folder(SCRATCH) as folder, open_store(folder) as store, roomy_malloc():
            yield folder, store, pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)  # each read ends with the deadline at the latest


def _import_vision() -> None:
    """Import the decoder of pictures, which sets limits for OpenCV, before anything else imports that."""
    importlib.import_module("functions.swap.picture_loading")
