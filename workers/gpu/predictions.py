"""Predictions by cog's contract (github.com/replicate/cog, docs/http.md): their states, and who waits for them.

Beyond that contract a finished prediction is kept for a while: it can be asked for by its id (cog has no polling), and
a PUT that comes again after its answer was lost gets that answer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from layers.core.errors import ColdswapError
from layers.core.telemetry import logger
from layers.engine.crop_job import CropJob, write_crops
from layers.engine.crop_planes import Pixels
from workers.gpu.batches import BatchQueue, Waiting
from workers.gpu.swapper import PackChanged

Status = Literal["starting", "processing", "succeeded", "failed", "canceled"]
ENDS: tuple[Status, ...] = ("succeeded", "failed", "canceled")
SLOTS = 32  # predictions that wait or run
KEPT_SECONDS = 600.0
MOST_KEPT = 256  # that have ended,
MOST_KEPT_BYTES = 128 << 20  # with outputs of so many bytes together; one has 4 MiB at most


class AllBusy(Exception):
    """Every slot is taken."""


@dataclass(eq=False)
class Prediction:
    """One job, and where it has got to."""

    id: str
    job_id: str
    status: Status = "starting"
    output: str | None = None
    error: str | None = None
    seconds: float = 0.0  # of the batch in which it ran
    batch: int = 0  # crops of that batch
    ended_at: float = 0.0
    webhook: str | None = None
    device: str = "cpu"

    def document(self) -> dict[str, Any]:
        """As an answer, or a webhook, has it."""
        document: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.output is not None:
            document["output"] = self.output
        if self.error is not None:
            document["error"] = self.error
        if self.status in ("succeeded", "failed"):
            seconds = round(self.seconds, 4)
            document["metrics"] = {"predict_time": seconds, "batch_crops": self.batch, "device": self.device}
        return document


class Predictions:
    """All predictions of this worker, by id. Safe to use from several threads."""

    def __init__(
        self, queue: BatchQueue, notify: Callable[[Prediction], None], now: Callable[[], float], device: str = "cpu"
    ) -> None:
        """`notify` is called, from a thread of the queue, with each prediction that ended and has a webhook."""
        self._queue = queue
        self._device = device
        self._notify = notify
        self._now = now
        self._predictions: dict[str, Prediction] = {}
        self._changed = threading.Condition()

    @property
    def busy(self) -> bool:
        """Whether every slot is taken."""
        with self._changed:
            return self._count_active() >= SLOTS

    def create(self, name: str, job: CropJob, webhook: str | None = None) -> Prediction:
        """Queue a job under an id, unless it is there already. Raises AllBusy; ValueError if the id has another job."""
        with self._changed:
            self._forget_old()
            present = self._predictions.get(name)
            if present is not None and present.status not in ("failed", "canceled"):
                if present.job_id != job.id:
                    raise ValueError("this id belongs to another prediction")
                return present
            if self._count_active() >= SLOTS:
                raise AllBusy
            prediction = Prediction(name, job.id, webhook=webhook, device=self._device)
            self._predictions[name] = prediction
        self._queue.put(
            Waiting(job, lambda: self._start(prediction), lambda *outcome: self._finish(prediction, *outcome))
        )
        return prediction

    def find(self, name: str) -> Prediction | None:
        """The prediction with that id, unless it is forgotten."""
        with self._changed:
            self._forget_old()
            return self._predictions.get(name)

    def wait(self, prediction: Prediction, seconds: float) -> None:
        """Wait until it has ended, or so long."""
        with self._changed:
            self._changed.wait_for(lambda: prediction.status in ENDS, seconds)

    def cancel(self, name: str) -> bool:
        """Cancel a prediction that has not ended: its output is dropped. Returns whether there was one."""
        with self._changed:
            prediction = self._predictions.get(name)
            if prediction is None or prediction.status in ENDS:
                return False
            self._end(prediction, "canceled")
        self._tell(prediction)
        return True

    def _start(self, prediction: Prediction) -> bool:
        with self._changed:
            if prediction.status != "starting":
                return False
            prediction.status = "processing"
            return True

    def _finish(self, prediction: Prediction, outcome: Pixels | Exception, seconds: float, batch: int) -> None:
        output = None if isinstance(outcome, Exception) else write_crops(outcome)
        with self._changed:
            if prediction.status in ENDS:
                return
            prediction.seconds, prediction.batch = seconds, batch
            prediction.output = output
            if isinstance(outcome, Exception):
                prediction.error = _explain(outcome)
            self._end(prediction, "succeeded" if output else "failed")
        self._tell(prediction)

    def _end(self, prediction: Prediction, status: Status) -> None:
        prediction.status, prediction.ended_at = status, self._now()
        self._forget_old()
        self._changed.notify_all()

    def _tell(self, prediction: Prediction) -> None:
        if prediction.webhook:
            self._notify(prediction)

    def _count_active(self) -> int:
        return sum(prediction.status not in ENDS for prediction in self._predictions.values())

    def _forget_old(self) -> None:
        """Forget what ended long ago, and the oldest of what is too much."""
        ended = [each for each in self._predictions.values() if each.status in ENDS]
        size = 0
        for number, prediction in enumerate(sorted(ended, key=lambda each: each.ended_at, reverse=True)):
            size += len(prediction.output or "")
            is_old = self._now() - prediction.ended_at > KEPT_SECONDS
            if is_old or number >= MOST_KEPT or size > MOST_KEPT_BYTES:
                del self._predictions[prediction.id]


def _explain(error: Exception) -> str:
    """What the sender is told. An unexpected message may hold anything, so only its kind is."""
    if isinstance(error, PackChanged):
        return f"wrong_swapper: {error}"
    if isinstance(error, ColdswapError):
        return f"{error.code}: {error.detail}"
    logger().error("a batch failed", extra={"error": type(error).__name__})
    return f"internal_error: {type(error).__name__}"
