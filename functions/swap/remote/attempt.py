"""Crops swapped elsewhere, as long as there is time to do it here instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from functions.swap.remote.interfaces import Done, Failed, RemoteSwapper, Running, State
from functions.swap.values import RemoteUse
from layers.core.deadline import Deadline
from layers.core.telemetry import logger
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats

# What is kept for the stack's own engine: a cold start of it, and each face at the smallest size (docs/benchmarks.md).
LOCAL_SECONDS, LOCAL_SECONDS_A_FACE = 8.0, 1.5
SHORTEST_ATTEMPT = 2.0  # seconds; with less it is not worth asking
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0  # seconds between two questions
MOST_FAULTS = 3  # of one job, after which it is not tried again; full and asleep are no faults
WAITING = ("at_capacity", "rate_limited")
SIDE_BY_SIDE = 4  # jobs of one request


def swap_elsewhere(
    remote: RemoteSwapper,
    swapper: str,
    crops: Pixels,
    latents: Floats,
    deadline: Deadline,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[Pixels, RemoteUse] | Failed:
    """Swap crops, uint8 BGR [N, 128, 128, 3], by latents, float32 [N, 512], with the pack's swapper of that digest.

    What fails elsewhere is the reason to do it here, never an error of the request: so nothing is raised, and there is
    time left for that at the end.
    """
    until = Deadline(deadline.at - LOCAL_SECONDS - LOCAL_SECONDS_A_FACE * len(crops))
    if until.left() < SHORTEST_ATTEMPT:
        return report_failure(remote.name, Failed("out_of_time", "There is not enough time to ask."))
    most = remote.capabilities.most_crops
    parts = [slice(first, first + most) for first in range(0, len(crops), most)]
    jobs = [CropJob(swapper, crops[part], latents[part]) for part in parts]
    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="remote") as pool:
        outcomes = list(pool.map(lambda job: _finish(remote, job, until, sleep), jobs))
    for outcome in outcomes:
        if isinstance(outcome, Failed):
            return report_failure(remote.name, outcome)
    done = [outcome for outcome in outcomes if isinstance(outcome, Done)]
    seconds = sum(each.seconds for each in done)
    use = RemoteUse(f"{remote.name} {done[0].device}", round(seconds, 4), round(seconds * remote.dollars_per_second, 8))
    return np.concatenate([each.crops for each in done]), use


def _finish(remote: RemoteSwapper, job: CropJob, until: Deadline, sleep: Callable[[float], None]) -> Done | Failed:
    """Submit a job and wait for its end; one that does not come in time is cancelled."""
    ticket, state = remote.submit(job, until)
    pause, faults = FIRST_PAUSE, 0
    while not isinstance(state, Done):
        faults += isinstance(state, Failed) and state.code not in WAITING
        wait = _pause(state, pause)
        if wait is None or until.left() <= wait or faults == MOST_FAULTS:
            break
        sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
        if isinstance(state, Running):
            state = remote.poll(ticket, job, until)
        elif remote.capabilities.repeats:
            ticket, state = remote.submit(job, until)
        else:
            break
    if isinstance(state, Running):
        remote.cancel(ticket, Deadline.after(1.0))
        return Failed("out_of_time", "It took too long.")
    return state


def _pause(state: State, usual: float) -> float | None:
    """Seconds until it is asked again; None where that is of no use."""
    if isinstance(state, Failed):
        return None if not state.retryable else max(usual, state.retry_after or 0.0)
    return usual


def report_failure(remote: str, failed: Failed) -> Failed:
    """Log what failed, for the operator; returns it."""
    extra = {"remote": remote, "code": failed.code, "detail": failed.detail}
    logger().warning("not swapped elsewhere", extra=extra)
    return failed
