"""What waits is swapped together, each job by itself in the end, and a batch that fails does not stop the next."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest

from layers.engine.crop_job import MOST_CROPS, CropJob
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats
from workers.gpu.batches import BatchQueue, Waiting


class Engine:
    """Inverts crops; the first batch is held until `open` is set."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.began = threading.Event()
        self.batches: list[int] = []
        self.fails = False

    def require(self, digest: str) -> None:
        if digest == "unknown":
            raise LookupError(digest)

    def swap(self, crops: Pixels, latents: Floats) -> Pixels:
        assert len(crops) == len(latents)
        self.batches.append(len(crops))
        self.began.set()
        assert self.open.wait(10)
        if self.fails:
            raise MemoryError
        return 255 - crops


class Sender:
    """Sends jobs, and waits for what becomes of them."""

    def __init__(self, queue: BatchQueue) -> None:
        self.queue = queue
        self.outcomes: dict[int, Pixels | Exception] = {}
        self._done = threading.Condition()

    def send(self, number: int, count: int, swapper: str = "a", cancelled: bool = False) -> None:
        crops = np.full((count, 128, 128, 3), number, np.uint8)

        def done(outcome: Pixels | Exception, seconds: float, batch: int) -> None:
            with self._done:
                self.outcomes[number] = outcome
                self._done.notify_all()

        job = CropJob(swapper, crops, np.zeros((count, 512), np.float32))
        self.queue.put(Waiting(job, lambda: not cancelled, done))

    def wait(self, count: int) -> None:
        with self._done:
            assert self._done.wait_for(lambda: len(self.outcomes) >= count, 10)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def sender(engine: Engine) -> Iterator[Sender]:
    queue = BatchQueue(engine.require, engine.swap)
    yield Sender(queue)
    engine.open.set()
    queue.close()


def hold(engine: Engine, sender: Sender) -> None:
    """Keep the queue busy, so that what is sent next waits together."""
    sender.send(100, 1)
    assert engine.began.wait(10)


def test_jobs_that_wait_become_one_batch_and_each_gets_its_own_crops(engine: Engine, sender: Sender) -> None:
    hold(engine, sender)
    for number, count in ((1, 3), (2, 1), (3, 4)):
        sender.send(number, count)
    engine.open.set()
    sender.wait(4)
    assert engine.batches == [1, 8]
    for number, count in ((1, 3), (2, 1), (3, 4)):
        outcome = sender.outcomes[number]
        assert isinstance(outcome, np.ndarray)
        assert outcome.shape == (count, 128, 128, 3)
        assert (outcome == 255 - number).all()


def test_a_batch_has_a_limit_and_one_swapper_and_order_is_kept(engine: Engine, sender: Sender) -> None:
    hold(engine, sender)
    sender.send(1, MOST_CROPS - 1)
    sender.send(2, 2)
    sender.send(3, 1, swapper="b")
    sender.send(4, 1)
    engine.open.set()
    sender.wait(5)
    assert engine.batches == [1, MOST_CROPS - 1, 2, 1, 1]


def test_a_job_whose_crops_cannot_be_handed_over_hears_of_that_and_the_next_is_swapped(
    engine: Engine, sender: Sender
) -> None:
    heard: list[Pixels | Exception] = []

    def refuse(outcome: Pixels | Exception, seconds: float, batch: int) -> None:
        heard.append(outcome)
        raise MemoryError

    engine.open.set()
    job = CropJob("a", np.zeros((1, 128, 128, 3), np.uint8), np.zeros((1, 512), np.float32))
    sender.queue.put(Waiting(job, lambda: True, refuse))
    sender.send(1, 1)
    sender.wait(1)

    assert [type(each) for each in heard] == [np.ndarray, MemoryError]


def test_a_cancelled_job_is_not_swapped(engine: Engine, sender: Sender) -> None:
    hold(engine, sender)
    sender.send(1, 5, cancelled=True)
    sender.send(2, 2)
    engine.open.set()
    sender.wait(2)
    assert engine.batches == [1, 2]
    assert 1 not in sender.outcomes


def test_all_of_a_failed_batch_hear_of_it_and_the_next_one_runs(engine: Engine, sender: Sender) -> None:
    engine.fails = True
    engine.open.set()
    sender.send(1, 1)
    sender.wait(1)
    assert isinstance(sender.outcomes[1], MemoryError)
    sender.send(2, 1, swapper="unknown")
    sender.wait(2)
    assert isinstance(sender.outcomes[2], LookupError)
    engine.fails = False
    sender.send(3, 1)
    sender.wait(3)
    assert isinstance(sender.outcomes[3], np.ndarray)
