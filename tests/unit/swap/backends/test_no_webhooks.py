"""The stack asks for no webhook and believes none: how far a job is, it asks whoever has it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any, cast

import numpy as np
import pytest

from functions.swap.backends.still_job import Still, StillJob
from functions.swap.backends.whole_still import TicketStore, WholeStills
from functions.swap.backends.worker import Worker
from layers.core.deadline import Deadline
from layers.engine.crop_job import CropJob
from tests.unit.swap.backends.fake_replicate import FakeReplicate
from tests.unit.swap.backends.fake_worker import TOKEN, FakeWorker
from tests.unit.swap.entry_clients import http
from tests.unit.swap.fake_stack import OUTPUTS, FakeSwapStack, MemoryStorage

KEY = b"a secret that somebody has stolen"
CROPS, LATENTS = np.full((1, 128, 128, 3), 90, np.uint8), np.ones((1, 512), np.float32)


def test_nobody_is_asked_to_send_one() -> None:
    still = Still(CROPS[0], [(9.0, 9.0, 99.0, 99.0)], [np.eye(2, 3)], (), "d" * 64, CROPS[0])
    with FakeWorker() as worker, FakeReplicate((9, 9, 99, 99)) as replicate:
        Worker(worker.url, TOKEN).submit(CropJob("5" * 64, CROPS, LATENTS), Deadline.after(9))
        tickets = TicketStore(cast(Any, MemoryStorage()), OUTPUTS)
        job = StillJob("5" * 64, CROPS, LATENTS, still)
        WholeStills(replicate.client(), tickets).submit(job, Deadline.after(9))
        sent = [entry.request.json() for log in (worker.log, replicate.log) for entry in log if entry.request.body]

    assert len(sent) == 2
    assert [key for body in sent for key in body if "webhook" in key] == []


@pytest.mark.parametrize(
    "path", ["/webhooks", "/webhooks/replicate", "/callback", "/predictions", "/predictions/1", "/"]
)
@pytest.mark.parametrize("status", ["succeeded", "failed"])
def test_one_that_comes_all_the_same_signed_or_replayed_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, path: str, status: str
) -> None:
    stack = FakeSwapStack()
    stack.storage.put(OUTPUTS, "work/swaps/tickets/1.json", b'{"id": "prediction0001", "at": 0}')
    before = dict(stack.storage.objects)
    body = {"id": "prediction0001", "status": status, "output": "https://replicate.delivery/forged.png"}
    moment, name = "1700000000", "msg_1"
    text = f"{name}.{moment}.{json.dumps(body)}".encode()
    signature = base64.b64encode(hmac.digest(KEY, text, hashlib.sha256)).decode()

    for _ in range(2):
        answer = http(
            stack,
            monkeypatch,
            path=path,
            body=body,
            webhook_id=name,
            webhook_timestamp=moment,
            webhook_signature=f"v1,{signature}",
        )
        assert 400 <= answer.status < 500

    assert stack.storage.objects == before
    assert stack.models.pending == []
