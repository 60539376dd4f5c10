"""The stack's own engine, in this process: the backend that every list ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.swap.backends.crop_check import check_size
from functions.swap.backends.interfaces import Capabilities, Done, Failed, State, Ticket
from layers.core.deadline import Deadline
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels, to_pixels, to_planes

if TYPE_CHECKING:
    from layers.engine.swapper import Swapper
    from layers.models.runtime.loaded_models import LoadedModels, PendingSwapper

BATCH_SIZE = 4  # crops that go through the swapper together; each of them takes 25 MB more
# A cold start of it, and each face at the smallest size (docs/benchmarks.md).
START_SECONDS, SECONDS_A_FACE = 8.0, 1.5

LOCAL_CAPABILITIES = Capabilities(
    BATCH_SIZE, repeats=True, side_by_side=1, start_seconds=START_SECONDS, seconds_a_face=SECONDS_A_FACE
)


class LocalEngine:
    """The swapper of the pack in use, for one request. A job is over when it has been submitted."""

    name = "local"
    capabilities = LOCAL_CAPABILITIES
    dollars_per_second = None

    def __init__(
        self, models: LoadedModels, deadline: Deadline, *, is_first: bool = True, embedder_first: bool = False
    ) -> None:
        """Look up the pack. Where no other backend is asked first, the download of the weights begins at once.

        With `embedder_first` the rest of them comes after the embedder's.
        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        self._models = models
        self._deadline = deadline
        self._pending: PendingSwapper | None = None
        self._swapper: Swapper | None = None
        self._latest: tuple[str, Done] | None = None
        if is_first:
            self._pending = models.start_swapper(deadline, embedder_first=embedder_first)
        else:
            models.refresh(deadline)

    def prepare(self, crops: int) -> None:
        """Take the swapper, whose weights go through a window if it runs just once and nothing stays afterwards.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        if self._pending is None:
            self._pending = self._models.start_swapper(self._deadline)
        self._swapper = self._pending.swapper(once=crops <= BATCH_SIZE)

    def submit(self, job: CropJob, deadline: Deadline) -> tuple[Ticket, State]:
        """Swap the job's crops. Raises OutOfTime, ModelsMissing, ModelsCorrupt or StorageFailed."""
        ticket = Ticket(job.id)
        if self._latest and self._latest[0] == ticket.id:
            return ticket, self._latest[1]
        if self._swapper is None:
            raise RuntimeError("not prepared")
        deadline.check("swapping faces")
        done = Done(to_pixels(self._swapper.run(to_planes(job.crops), job.latents)), self._swapper.name)
        self._latest = ticket.id, done
        return ticket, done

    def poll(self, ticket: Ticket, job: CropJob, deadline: Deadline) -> State:
        """The latest job's crops; any other is forgotten."""
        if self._latest and self._latest[0] == ticket.id:
            return self._latest[1]
        return Failed("out_of_time", "It was cancelled, or is forgotten.")

    def cancel(self, ticket: Ticket, deadline: Deadline) -> None:
        """Forget the job, which is over."""
        if self._latest and self._latest[0] == ticket.id:
            self._latest = None

    def verify(self, job: CropJob, answer: Pixels) -> Pixels | Failed:
        """The crops. Their content needs no check: the digests of the weights were compared as they were fetched."""
        return check_size(job, answer) or answer

    def drop(self) -> int:
        """Stop fetching; return the bytes that were wasted."""
        return self._pending.drop() if self._pending else 0
