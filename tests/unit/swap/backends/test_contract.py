"""What holds for every backend, whoever runs the swapper: the stack's own engine, a worker, and Replicate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from functions.swap.backends.interfaces import Backend, Done, Failed, Running, State, Ticket
from functions.swap.backends.local_engine import LocalEngine
from functions.swap.backends.still_job import Still, StillJob
from functions.swap.backends.whole_still import TicketStore, WholeStills
from functions.swap.backends.worker import Worker
from layers.core.deadline import Deadline
from layers.engine.crop_job import CropJob
from tests.unit.swap.backends.fake_replicate import FakeReplicate
from tests.unit.swap.backends.fake_worker import TOKEN, FakeWorker
from tests.unit.swap.fake_stack import OUTPUTS, FakeModels, MemoryStorage

BOX = (40, 30, 100, 100)
FORWARD = np.array([[128 / 84, 0, -28 * 128 / 84], [0, 128 / 84, -23 * 128 / 84]])


@dataclass
class Member:
    """A backend, what stands behind it, and what a test needs of both."""

    backend: Backend
    make_job: Callable[[int], CropJob]
    count_paid: Callable[[], int]
    remote: FakeWorker | FakeReplicate | None = None

    def submit(self, job: CropJob) -> tuple[Ticket, State]:
        self.backend.prepare(len(job.crops))
        ticket, state = self.backend.submit(job, Deadline.after(20))
        assert ticket is not None
        return ticket, state

    def poll(self, ticket: Ticket, job: CropJob) -> State:
        return self.backend.poll(ticket, job, Deadline.after(20))

    def swap(self, job: CropJob) -> tuple[Ticket, Done]:
        ticket, state = self.submit(job)
        while isinstance(state, Running):
            state = self.poll(ticket, job)
        assert isinstance(state, Done), state
        return ticket, state

    def delay(self, questions: int) -> None:
        """Let that many questions be answered before a job is done; what runs in this process has no such thing."""
        if self.remote:
            self.remote.slow = questions


def crop_job(count: int) -> CropJob:
    crops = np.random.default_rng(count).integers(0, 256, (count, 128, 128, 3)).astype(np.uint8)
    return CropJob("5" * 64, crops, np.ones((count, 512), np.float32))


def still_job(count: int) -> StillJob:
    y, x = np.mgrid[:150, :200].astype(np.float32)
    waves = [100 + 60 * np.sin(x / 25 + shift) * np.cos(y / 30) for shift in (0, 1, 2)]
    face, box = np.full((64, 64, 3), 90, np.uint8), cast(Any, tuple(map(float, BOX)))
    still = Still(np.stack(waves, 2).astype(np.uint8), [box] * count, [FORWARD] * count, (), "d" * 64, face)
    job = crop_job(count)
    return StillJob(job.swapper, job.crops, job.latents, still)


@contextmanager
def local() -> Iterator[Member]:
    models = FakeModels()
    engine = LocalEngine(cast(Any, models), Deadline.after(20))
    yield Member(engine, crop_job, lambda: len(models.swapper.crops))


@contextmanager
def worker() -> Iterator[Member]:
    with FakeWorker() as fake:
        yield Member(Worker(fake.url, TOKEN), crop_job, lambda: len(fake.swapped), fake)


@contextmanager
def replicate() -> Iterator[Member]:
    with FakeReplicate(BOX) as fake:
        backend = WholeStills(fake.client(), TicketStore(cast(Any, MemoryStorage()), OUTPUTS))
        yield Member(backend, still_job, lambda: len(fake.made), fake)


@pytest.fixture(params=[local, worker, replicate], ids=lambda make: str(make.__name__))
def member(request: pytest.FixtureRequest) -> Iterator[Member]:
    with request.param() as member:
        yield member


def check_crops(member: Member, job: CropJob, state: Done) -> None:
    crops = member.backend.verify(job, state.answer)
    assert not isinstance(crops, Failed), crops
    assert (crops.shape, crops.dtype.name) == (job.crops.shape, "uint8")


@pytest.mark.parametrize("count", [1, None], ids=["one", "most"])
def test_as_many_crops_as_a_backend_says_it_takes_come_back(member: Member, count: int | None) -> None:
    job = member.make_job(count or member.backend.capabilities.most_crops)
    check_crops(member, job, member.swap(job)[1])


def test_what_takes_whole_stills_takes_nothing_else_and_what_takes_crops_is_asked_for_no_still(member: Member) -> None:
    assert member.backend.capabilities.whole_stills == isinstance(member.make_job(1), StillJob)
    member.backend.prepare(1)
    state = member.backend.submit(crop_job(1), Deadline.after(20))[1]
    assert isinstance(state, Failed) == member.backend.capabilities.whole_stills


def test_what_is_not_there_at_once_is_there_when_it_is_asked_for(member: Member) -> None:
    member.delay(2)
    job = member.make_job(2)
    ticket, state = member.swap(job)
    check_crops(member, job, state)
    assert isinstance(member.poll(ticket, job), Done)


def test_a_job_that_comes_twice_is_paid_for_once(member: Member) -> None:
    job = member.make_job(2)
    ticket, state = member.swap(job)
    paid = member.count_paid()
    other, again = member.swap(job)
    assert (other, member.count_paid()) == (ticket, paid)
    assert paid > 0
    np.testing.assert_array_equal(again.answer, state.answer)


def test_a_job_that_is_cancelled_ends_and_gives_nothing(member: Member) -> None:
    member.delay(1 << 20)
    job = member.make_job(2)
    ticket, _ = member.submit(job)
    member.backend.cancel(ticket, Deadline.after(5))
    assert isinstance(member.poll(ticket, job), Failed)


def test_a_cancellation_that_is_too_late_harms_nothing(member: Member) -> None:
    job = member.make_job(2)
    ticket, state = member.swap(job)
    member.backend.cancel(ticket, Deadline.after(5))
    assert not isinstance(member.poll(ticket, job), Running)
    check_crops(member, job, state)


def test_an_answer_of_another_size_or_kind_is_refused(member: Member) -> None:
    job = member.make_job(2)
    answer = member.swap(job)[1].answer
    for wrong in (answer[:1], answer[..., :2], answer[:, :-1], np.concatenate([answer, answer])):
        refusal = member.backend.verify(job, wrong)
        assert isinstance(refusal, Failed)
        assert (refusal.code, refusal.retryable) == ("provider_failed", False)


def test_an_answer_that_somebody_else_sends_must_show_what_was_asked_for(member: Member) -> None:
    job = member.make_job(2)
    answer = member.swap(job)[1].answer
    verdict = member.backend.verify(job, np.zeros_like(answer))
    # The weights of the stack's own engine are verified instead, by their digests, as they are fetched.
    assert isinstance(verdict, Failed) == (member.remote is not None)


def test_only_what_is_paid_for_by_the_second_has_a_price(member: Member) -> None:
    state = member.swap(member.make_job(1))[1]
    assert (member.backend.dollars_per_second is None) == (member.remote is None)
    assert (state.seconds > 0) == (member.remote is not None)
    assert state.engine
