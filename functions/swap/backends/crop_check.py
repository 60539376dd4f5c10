"""What crops must be to be taken for a job's swapped ones."""

from __future__ import annotations

from functions.swap.backends.interfaces import Failed
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels

LEAST_SPREAD = 1.0  # levels: what miscalculates tends to give one colour
PLAIN_SPREAD = 8.0  # levels of a crop that showed next to nothing itself


def check_size(job: CropJob, answer: Pixels) -> Failed | None:
    """Why these are not as many crops of that size as the job has, if they are not."""
    if answer.shape != job.crops.shape or answer.dtype != job.crops.dtype:
        return Failed("provider_failed", "What it made has another size.")
    return None


def check_content(job: CropJob, answer: Pixels) -> Failed | None:
    """Why crops of the right size cannot show swapped faces, if they cannot."""
    spreads = zip(_spread(job.crops), _spread(answer), strict=True)
    if any(after < LEAST_SPREAD and before >= PLAIN_SPREAD for before, after in spreads):
        return Failed("provider_failed", "What it made is of one colour.")
    return None


def _spread(crops: Pixels) -> list[float]:
    return [float(spread) for spread in crops.std(axis=(1, 2, 3))]
