"""The one interface of whatever runs the swapper: a job is submitted, asked for, cancelled, and its answer verified."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from layers.core.deadline import Deadline
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels


@dataclass(frozen=True)
class Capabilities:
    """What a backend takes, and what it needs."""

    most_crops: int  # of one job
    repeats: bool  # whether a job that is submitted again, by the same id, is neither swapped nor paid for twice
    whole_stills: bool = False  # whether it takes whole stills (StillJob) instead of crops
    side_by_side: int = 4  # jobs of one request
    start_seconds: float = 0.0  # that are kept for it while another one is asked first,
    seconds_a_face: float = 0.0  # with these for each face


@dataclass(frozen=True)
class Ticket:
    """What a submitted job is asked for by."""

    id: str


@dataclass(frozen=True)
class Running:
    """Not there yet: it waits, or runs."""


@dataclass(frozen=True)
class Done:
    """An answer, which is nothing before it is verified: uint8 BGR, [N, 128, 128, 3] or a whole still [H, W, 3]."""

    answer: Pixels
    engine: str  # what ran the swapper, as results tell it
    seconds: float = 0.0  # of it that this job has used


@dataclass(frozen=True)
class Failed:
    """No crops will come of it. `code` is one of layers/core/errors.py, and `detail` holds no secret and no link."""

    code: str
    detail: str
    retryable: bool = False  # whether the same may go well a little later
    retry_after: float | None = None  # seconds, where they are told
    sent: bool = True  # whether the request may have arrived


State = Running | Done | Failed


class Backend(Protocol):
    """Whatever runs the swapper.

    One that is reached over the network raises nothing, since another does the work where it fails. The errors that the
    stack's own engine raises are those of the request.
    """

    @property
    def name(self) -> str:
        """What it is called in logs."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it takes."""
        ...

    @property
    def dollars_per_second(self) -> float | None:
        """The operator's price of a second of it; None where it takes the function's own time."""
        ...

    def prepare(self, crops: int) -> None:
        """Get ready for that many crops, now that it is its turn."""
        ...

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket | None, State]:
        """Send a job, which is a StillJob for who takes whole stills.

        Whatever can be asked for again has a ticket, also where its answer was lost.
        """
        ...

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """How far it is."""
        ...

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Say that nobody wants it any more. It may be too late, and nothing comes of it if it cannot be said."""
        ...

    def verify(self, job: CropJob, answer: Pixels) -> Pixels | Failed:
        """The job's swapped crops, uint8 BGR [N, 128, 128, 3], if the answer can be what was asked for."""
        ...
