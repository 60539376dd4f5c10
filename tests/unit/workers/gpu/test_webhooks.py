"""Webhooks are sent by a few threads to public addresses alone, and what is too much is dropped."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from layers.core.deadline import Deadline
from layers.core.errors import UpstreamFailed
from layers.core.http_fetch import open_url
from workers.gpu.predictions import Prediction
from workers.gpu.webhooks import MOST_TRIES, MOST_WAITING, Answer, Webhooks

URL = "https://example.com/ended"


class Receiver:
    """Answers with these statuses in turn, None for no answer, and 200 afterwards; holds while `gate` is shut."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.gate = threading.Event()
        self.gate.set()
        self.heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self.threads: set[str] = set()

    @contextmanager
    def send(
        self, url: str, *, deadline: Deadline, method: str, headers: Mapping[str, str], body: bytes
    ) -> Iterator[Answer]:
        self.threads.add(threading.current_thread().name)
        self.heard.put((url, json.loads(body)["id"]))
        assert self.gate.wait(10)
        status = self.statuses.pop(0) if self.statuses else 200
        if status is None:
            raise UpstreamFailed("The server did not answer.")
        yield SimpleNamespace(status=status)

    def hear(self, count: int) -> list[str]:
        return [self.heard.get(timeout=10)[1] for _ in range(count)]


def prediction(name: str, webhook: str = URL) -> Prediction:
    return Prediction(name, "job", "succeeded", output="data:", webhook=webhook)


@pytest.mark.parametrize(
    ("statuses", "tries"), [((), 1), ((404,), 1), ((500, None), 3), ((None,) * MOST_TRIES, MOST_TRIES)]
)
def test_a_webhook_is_sent_again_where_that_can_help_and_a_few_times_at_most(
    statuses: tuple[int | None, ...], tries: int
) -> None:
    receiver = Receiver(*statuses)
    webhooks = Webhooks(receiver.send, senders=1)
    webhooks.tell(prediction("a"))
    webhooks.tell(prediction("b"))
    assert receiver.hear(tries + 1) == ["a"] * tries + ["b"]


def test_however_many_end_few_threads_tell_it_and_what_is_too_much_is_dropped(
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver = Receiver()
    receiver.gate.clear()
    webhooks = Webhooks(receiver.send, senders=2)
    webhooks.tell(prediction("0"))
    webhooks.tell(prediction("1"))
    assert sorted(receiver.hear(2)) == ["0", "1"]  # both threads are held

    for number in range(2, MOST_WAITING + 5):
        webhooks.tell(prediction(str(number)))
    receiver.gate.set()

    assert len(receiver.hear(MOST_WAITING)) == MOST_WAITING
    assert len(receiver.threads) == 2
    assert caplog.text.count("a webhook was dropped") == 3


@pytest.mark.parametrize("url", ["https://127.0.0.1/x", "https://169.254.169.254/latest", "http://example.com/x"])
def test_nothing_is_sent_to_an_address_that_is_not_public(url: str) -> None:
    receiver, sent = Receiver(), list[str]()

    @contextmanager
    def send(url: str, *, deadline: Deadline, method: str, headers: Mapping[str, str], body: bytes) -> Iterator[Answer]:
        if url == URL:
            with receiver.send(url, deadline=deadline, method=method, headers=headers, body=body) as answer:
                yield answer
            return
        with open_url(url, deadline=deadline, method=method, headers=headers, body=body) as response:
            sent.append(url)
            yield response

    webhooks = Webhooks(send, senders=1)
    webhooks.tell(prediction("a", url))
    webhooks.tell(prediction("b"))
    assert receiver.hear(1) == ["b"]
    assert sent == []
