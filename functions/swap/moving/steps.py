"""The swap of a moving meme as three steps, each of which another execution may do: analyse, swap, compose.

Work files are under work/swaps/ID/ of the outputs bucket, under names made of what they are made from: a step whose
files exist has nothing to do.
"""

from __future__ import annotations

from functions.swap.context import SwapContext
from functions.swap.moving.job import MovingJob
from functions.swap.moving.outcome import AnalysisSummary, ChunkSummary, PeopleListing
from functions.swap.values import SwapOutcome


def analyse(job: MovingJob, context: SwapContext) -> AnalysisSummary:
    """Fetch the meme, charge for it, find its people, choose among them, and write what the swapper takes.

    Raises the errors of reading, PictureTooLarge, UnsupportedPicture, BudgetSpent, ContentRefused, SafeguardFailed,
    NoFaceInMeme, NoFaceInSource, FaceRefused, InvalidRequest, OutOfTime, or NotFound if the swap was deleted.
    """
    raise NotImplementedError


def swap_chunk(job: MovingJob, context: SwapContext, number: int) -> ChunkSummary:
    """Swap the crops of the chunk of that number. Raises WorkGone, OutOfTime, the errors of the models, NotFound."""
    raise NotImplementedError


def compose(job: MovingJob, context: SwapContext, *, key: str, add_extension: bool = False) -> SwapOutcome:
    """Put the swapped faces into the frames, and write the labelled result to `key` of the outputs bucket.

    The outcome's result is a MovingResult. Raises WorkGone, OutOfTime, LabelFailed, StorageFailed, NotFound.
    """
    raise NotImplementedError


def list_people(job: MovingJob, context: SwapContext) -> PeopleListing:
    """List the people of a moving meme, by the numbers that a swap gives them. Raises what `analyse` raises."""
    raise NotImplementedError


def discard(name: str, context: SwapContext) -> None:
    """Delete the work files of the swap of that id: after its result is recorded, or when it is deleted or fails."""
    raise NotImplementedError


def swap_moving(job: MovingJob, context: SwapContext, *, key: str, add_extension: bool = False) -> SwapOutcome:
    """All steps in this process; the work files are deleted afterwards. Raises what the steps raise."""
    raise NotImplementedError
