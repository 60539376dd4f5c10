"""What runs the swapper elsewhere, whoever that is: a job is submitted, asked for, and cancelled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from layers.core.deadline import Deadline
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels


@dataclass(frozen=True)
class Capabilities:
    """What a remote swapper takes."""

    most_crops: int  # of one job
    repeats: bool  # whether a job that is submitted again, by the same id, is neither swapped nor paid for twice


@dataclass(frozen=True)
class Ticket:
    """What a submitted job is asked for by."""

    id: str


@dataclass(frozen=True)
class Running:
    """Not there yet: it waits, or runs."""


@dataclass(frozen=True)
class Done:
    """The swapped crops, uint8 BGR [N, 128, 128, 3], in the job's order."""

    crops: Pixels
    device: str  # what ran them, for people
    seconds: float  # of it that this job has used


@dataclass(frozen=True)
class Failed:
    """No crops will come of it. `code` is one of layers/core/errors.py, and `detail` holds no secret and no link."""

    code: str
    detail: str
    retryable: bool = False  # whether the same may go well a little later
    retry_after: float | None = None  # seconds, where they are told
    sent: bool = True  # whether the request may have arrived


State = Running | Done | Failed


class RemoteSwapper(Protocol):
    """A swapper that is reached over the network. Its methods raise nothing but what a programmer has to mend."""

    @property
    def name(self) -> str:
        """What it is called in results."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it takes."""
        ...

    @property
    def dollars_per_second(self) -> float:
        """The operator's price of a second of it."""
        ...

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket, State]:
        """Send a job. The ticket is known before anything is sent, so nothing that is lost on the way is lost."""
        ...

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """How far it is."""
        ...

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Say that nobody wants it any more. It may be too late, and nothing comes of it if it cannot be said."""
        ...
