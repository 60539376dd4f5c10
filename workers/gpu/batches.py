"""Jobs that wait are swapped together: a GPU takes little longer for eight crops than for one."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from layers.core.telemetry import logger
from layers.engine.crop_job import MOST_CROPS, CropJob
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats

Swap = Callable[[Pixels, Floats], Pixels]


@dataclass(eq=False)
class Waiting:
    """A job in the queue. `done` hears of its swapped crops, or of what went wrong, from the queue's thread."""

    job: CropJob
    started: Callable[[], bool]  # called before it runs; False: it was cancelled
    done: Callable[[Pixels | Exception, float, int], None]  # with the seconds and the crops of its batch
    crops: int = field(init=False)

    def __post_init__(self) -> None:
        self.crops = len(self.job.crops)


class BatchQueue:
    """A thread that takes what waits, up to MOST_CROPS crops of one swapper, and swaps it as one batch."""

    def __init__(self, require: Callable[[str], None], swap: Swap) -> None:
        """`require` raises for a swapper, by its digest, that is not in use; `swap` swaps a batch."""
        self._require = require
        self._swap = swap
        self._waiting: deque[Waiting] = deque()
        self._state = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)
        self._thread.start()

    def put(self, waiting: Waiting) -> None:
        """Queue a job."""
        with self._state:
            self._waiting.append(waiting)
            self._state.notify()

    def close(self) -> None:
        """Finish the batch that runs, and take no other."""
        with self._state:
            self._stopping = True
            self._state.notify()
        self._thread.join()

    def _work(self) -> None:
        while batch := self._next():
            running = [waiting for waiting in batch if waiting.started()]
            if running:
                self._run(running)

    def _next(self) -> list[Waiting]:
        """What is swapped next; empty at the end."""
        with self._state:
            self._state.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                return []
            batch = [self._waiting.popleft()]
            room = MOST_CROPS - batch[0].crops
            while self._waiting and self._waiting[0].crops <= room:
                if self._waiting[0].job.swapper != batch[0].job.swapper:
                    break
                batch.append(self._waiting.popleft())
                room -= batch[-1].crops
            return batch

    def _run(self, batch: list[Waiting]) -> None:
        start, crops = time.monotonic(), sum(waiting.crops for waiting in batch)
        outcome: Pixels | Exception
        try:
            self._require(batch[0].job.swapper)
            outcome = self._swap(
                np.concatenate([waiting.job.crops for waiting in batch]),
                np.concatenate([waiting.job.latents for waiting in batch]),
            )
        except Exception as error:  # whose senders are told; the next batch may go well
            outcome = error
        seconds, first = time.monotonic() - start, 0
        for waiting in batch:
            mine = outcome if isinstance(outcome, Exception) else outcome[first : first + waiting.crops]
            first += waiting.crops
            _hand_over(waiting, mine, seconds, crops)


def _hand_over(waiting: Waiting, outcome: Pixels | Exception, seconds: float, crops: int) -> None:
    """End a job; what goes wrong with that, such as a lack of memory, is its own outcome, and ends no other job."""
    try:
        waiting.done(outcome, seconds, crops)
    except Exception as error:
        logger().error("a job could not be handed over", extra={"error": type(error).__name__})
        with suppress(Exception):
            waiting.done(error, seconds, crops)
