"""Crops swapped by the first backend that can, as long as there is time for the next one to do it instead."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from functions.swap.backends.interfaces import Backend, Capabilities, Done, Failed, Running, State
from functions.swap.backends.still_job import Still, StillJob
from functions.swap.values import RemoteUse
from layers.core.deadline import Deadline
from layers.core.errors import InternalError
from layers.core.telemetry import Phases, logger
from layers.engine.crop_job import SIDE, CropJob
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats

SHORTEST_ATTEMPT = 2.0  # seconds; with less it is not worth asking one that another comes after
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2.0  # seconds between two questions
MOST_FAULTS = 3  # of one job, after which it is not tried again; full and asleep are no faults
WAITING = ("at_capacity", "rate_limited")


_Outcome = tuple[Pixels, str, RemoteUse | None] | Failed


@dataclass(frozen=True)
class _End:
    """How a job went well."""

    engine: str
    seconds: float


@dataclass(frozen=True)
class Work:
    """Crops, uint8 BGR [N, 128, 128, 3], and latents, float32 [N, 512], for the pack's swapper of that digest.

    `still` gives the still that they are from, where there is one; Failed if it cannot go out as a whole.
    """

    swapper: str
    crops: Pixels
    latents: Floats
    still: Callable[[], Still | Failed] | None = None


@dataclass(frozen=True)
class Swapped:
    """Swapped crops, uint8 BGR [N, 128, 128, 3], and what ran the swapper."""

    crops: Pixels
    engine: str
    use: RemoteUse | None = None  # of one that is paid for by the second
    failure: Failed | None = None  # of who was asked before


def swap_in_turn(
    backends: Sequence[Backend],
    work: Work,
    deadline: Deadline,
    phases: Phases | None = None,
    check: Callable[[int], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Swapped:
    """Swap crops by the first of these backends that can; the last one has all the time that is left.

    What fails before it is no error of the request, but logged for the operator. `check` hears of how many crops are
    done, and may raise. Raises what the last backend raises, or InternalError for an answer of it that is refused.
    """
    failure: Failed | None = None
    for place, backend in enumerate(backends):
        if backend.capabilities.whole_stills and work.still is None:
            continue
        kept = sum(_seconds_for(later, len(work.crops)) for later in backends[place + 1 :])
        until = Deadline.after(deadline.left() - kept, deadline.advice) if kept else deadline
        if kept and until.left() < SHORTEST_ATTEMPT:
            outcome: _Outcome = Failed("out_of_time", "There is not enough time to ask.")
        else:
            outcome = _swap_by(backend, work, until, phases or Phases(), check, sleep)
        if not isinstance(outcome, Failed):
            crops, engine, use = outcome
            return Swapped(crops, engine, use, failure)
        failure = outcome
        extra = {"backend": backend.name, "code": failure.code, "detail": failure.detail}
        logger().warning("not swapped elsewhere", extra=extra)
    raise InternalError("The faces could not be swapped. The log has the details.")


def _seconds_for(backend: Backend, faces: int) -> float:
    return backend.capabilities.start_seconds + backend.capabilities.seconds_a_face * faces


def _swap_by(
    backend: Backend,
    work: Work,
    until: Deadline,
    phases: Phases,
    check: Callable[[int], None],
    sleep: Callable[[float], None],
) -> _Outcome:
    """All of the work by one backend, or none of it."""
    with phases("models"):
        backend.prepare(len(work.crops))
    with phases("swap"):
        jobs = _divide(work, backend.capabilities)
        if isinstance(jobs, Failed):
            return jobs
        crops = np.empty((len(work.crops), SIDE, SIDE, 3), np.uint8)
        ends = _run_jobs(backend, jobs, crops, until, check, sleep)
    if isinstance(ends, Failed):
        return ends
    seconds, price = sum(end.seconds for end in ends), backend.dollars_per_second
    engine = ends[0].engine
    use = None if price is None else RemoteUse(engine, round(seconds, 4), round(seconds * price, 8))
    return crops, engine, use


def _divide(work: Work, capabilities: Capabilities) -> list[CropJob] | Failed:
    """The work as jobs that such a backend takes."""
    if capabilities.whole_stills:
        still = work.still() if work.still else Failed("invalid_request", "It takes whole stills.")
        return still if isinstance(still, Failed) else [StillJob(work.swapper, work.crops, work.latents, still)]
    most = capabilities.most_crops
    parts = [slice(first, first + most) for first in range(0, len(work.crops), most)]
    return [CropJob(work.swapper, work.crops[part], work.latents[part]) for part in parts]


def _run_jobs(
    backend: Backend,
    jobs: Sequence[CropJob],
    crops: Pixels,
    until: Deadline,
    check: Callable[[int], None],
    sleep: Callable[[float], None],
) -> list[_End] | Failed:
    """Fill `crops` with those of all jobs, in their order; says how each ended, or why one of them did not."""
    places = [0, *itertools.accumulate(len(job.crops) for job in jobs)]

    def run(number: int) -> _End | Failed:
        end = _finish(backend, jobs[number], until, sleep)
        if isinstance(end, Failed):
            return end
        swapped, done = end
        crops[places[number] : places[number + 1]] = swapped
        return _End(done.engine, done.seconds)

    ends: list[_End] = []
    most = backend.capabilities.side_by_side
    with ThreadPoolExecutor(most, thread_name_prefix="backend") as pool:
        run_all = pool.map if most > 1 and len(jobs) > 1 else map
        check(0)
        for number, end in enumerate(run_all(run, range(len(jobs)))):
            if isinstance(end, Failed):
                return end
            ends.append(end)
            if most == 1 and number + 1 < len(jobs):
                check(places[number + 1])
    return ends


def _finish(
    backend: Backend, job: CropJob, until: Deadline, sleep: Callable[[float], None]
) -> tuple[Pixels, Done] | Failed:
    """Submit a job, wait for its end, and verify the answer; one that does not come in time is cancelled."""
    ticket, state = backend.submit(job, until)
    pause, faults = FIRST_PAUSE, 0
    while not isinstance(state, Done):
        asks_again = ticket and (isinstance(state, Running) or not backend.capabilities.repeats)
        faults += isinstance(state, Failed) and not asks_again and state.code not in WAITING
        wait = _pause(state, pause)
        if wait is None or until.left() <= wait or faults == MOST_FAULTS:
            break
        sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)
        if ticket and asks_again:
            state = backend.poll(ticket, job, until)
        else:
            ticket, state = backend.submit(job, until)
    if isinstance(state, Running):
        if ticket:
            backend.cancel(ticket, Deadline.after(1.0))
        return Failed("out_of_time", "It took too long.")
    if isinstance(state, Failed):
        return state
    crops = backend.verify(job, state.answer)
    return crops if isinstance(crops, Failed) else (crops, state)


def _pause(state: State, usual: float) -> float | None:
    """Seconds until it is asked again; None where that is of no use."""
    if isinstance(state, Failed):
        return None if not state.retryable else max(usual, state.retry_after or 0.0)
    return usual
