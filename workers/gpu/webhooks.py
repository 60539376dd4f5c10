"""Webhooks of cog's contract: the ends of predictions, told to whoever asked to be told, as far as there is room.

They are hints. Whoever misses one asks for the prediction by its id.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol

from layers.core.deadline import Deadline
from layers.core.errors import RefusedUrl, UpstreamFailed
from layers.core.http_fetch import open_url
from layers.core.telemetry import logger
from workers.gpu.predictions import Prediction

SENDERS = 4  # threads, each of which may wait for a receiver that is slow
MOST_WAITING = 32  # webhooks, whose predictions have up to 4 MiB; what comes beyond is not told
SEND_SECONDS = 10.0
MOST_TRIES = 3


class Answer(Protocol):
    """What a receiver answers."""

    status: int


class Send(Protocol):
    """How a webhook is sent: as open_url does it, to nothing but public addresses."""

    def __call__(
        self, url: str, *, deadline: Deadline, method: str, headers: Mapping[str, str], body: bytes
    ) -> AbstractContextManager[Answer]:
        """Send it. Raises RefusedUrl or UpstreamFailed."""
        ...


class Webhooks:
    """A few threads that send webhooks, and the queue before them."""

    def __init__(self, send: Send = open_url, senders: int = SENDERS) -> None:
        self._send = send
        self._waiting: queue.Queue[Prediction] = queue.Queue(MOST_WAITING)
        for number in range(senders):
            threading.Thread(target=self._work, name=f"webhook-{number}", daemon=True).start()

    def tell(self, prediction: Prediction) -> None:
        """Queue the webhook of a prediction that has ended; never waits."""
        try:
            self._waiting.put_nowait(prediction)
        except queue.Full:
            logger().warning("a webhook was dropped", extra={"prediction": prediction.id})

    def _work(self) -> None:
        while True:
            prediction = self._waiting.get()
            try:
                self._post(prediction)
            except Exception as error:  # the next one may go well
                logger().error("a webhook failed", extra={"error": type(error).__name__})

    def _post(self, prediction: Prediction) -> None:
        body = json.dumps(prediction.document()).encode()
        for _ in range(MOST_TRIES):
            try:
                with self._send(
                    prediction.webhook or "",
                    deadline=Deadline.after(SEND_SECONDS),
                    method="POST",
                    headers={"Content-Type": "application/json"},
                    body=body,
                ) as answer:
                    if answer.status < 500:
                        return
            except RefusedUrl:
                return
            except UpstreamFailed:
                continue
