"""Cog's contract and SageMaker's two paths, asked over a real connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import requests
import waitress

from layers.core.errors import ModelsCorrupt
from layers.engine.crop_job import CropJob, read_crops
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats
from tests.support.clock import Clock
from tests.support.wsgi_server import stop
from workers.gpu.app import MOST_BODY_BYTES, App, Setup
from workers.gpu.batches import BatchQueue
from workers.gpu.predictions import KEPT_SECONDS, SLOTS, Prediction, Predictions
from workers.gpu.swapper import PackChanged

TOKEN = "let-me-in"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


class Worker:
    """A worker whose swapper inverts crops, once `gate` is open."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.clock = Clock()
        self.setup = Setup(ready=True)
        self.swapped = 0
        self.notices: list[Prediction] = []
        self.queue = BatchQueue(self._require, self._swap)
        predictions = Predictions(self.queue, self.notices.append, self.clock)
        self.server = waitress.create_server(
            App(predictions, self.setup, TOKEN),
            host="127.0.0.1",
            port=0,
            threads=8,
            max_request_body_size=MOST_BODY_BYTES,
        )
        self.url = f"http://127.0.0.1:{self.server.effective_port}"

    def call(self, method: str, path: str, json: Any = None, **headers: str) -> requests.Response:
        return requests.request(method, self.url + path, json=json, headers={**BEARER, **headers}, timeout=20)

    def _require(self, digest: str) -> None:
        if digest == "old":
            raise PackChanged("this worker's pack has the swapper new, not old")
        if digest == "broken":
            raise ModelsCorrupt("A blob does not match its digest.")

    def _swap(self, crops: Pixels, latents: Floats) -> Pixels:
        assert self.gate.wait(10)
        self.swapped += len(crops)
        return 255 - crops


@contextmanager
def serve() -> Iterator[Worker]:
    worker = Worker()
    threading.Thread(target=worker.server.run, daemon=True).start()
    try:
        yield worker
    finally:
        worker.gate.set()
        stop(worker.server)
        worker.queue.close()


@pytest.fixture
def worker() -> Iterator[Worker]:
    with serve() as worker:
        yield worker


def job(count: int = 2, value: int = 7, swapper: str = "new") -> CropJob:
    crops = np.full((count, 128, 128, 3), value, np.uint8)
    return CropJob(swapper, crops, np.zeros((count, 512), np.float32))


def body(sent: CropJob, **more: Any) -> dict[str, Any]:
    return {"input": sent.to_input(), **more}


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/predictions"), ("PUT", "/predictions/a1"), ("POST", "/invocations")]
)
def test_a_request_that_waits_gets_the_swapped_crops(worker: Worker, method: str, path: str) -> None:
    answer = worker.call(method, path, body(job(3)))
    assert answer.status_code == 200
    document = answer.json()
    assert document["status"] == "succeeded"
    assert (read_crops(document["output"], "output", 3) == 248).all()
    assert document["metrics"]["batch_crops"] == 3


def test_a_put_that_comes_again_is_swapped_once_while_it_runs_and_afterwards(worker: Worker) -> None:
    worker.gate.clear()
    first = worker.call("PUT", "/predictions/a1", body(job()), Prefer="respond-async")
    second = worker.call("PUT", "/predictions/a1", body(job()), Prefer="respond-async")
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json()["status"] in ("starting", "processing")
    assert "output" not in second.json()
    worker.gate.set()
    documents = [worker.call("PUT", "/predictions/a1", body(job())).json() for _ in range(2)]
    assert documents[0] == documents[1]
    assert documents[0]["status"] == "succeeded"
    assert worker.swapped == 2


def test_an_id_that_has_another_job_is_refused(worker: Worker) -> None:
    worker.call("PUT", "/predictions/a1", body(job()))
    answer = worker.call("PUT", "/predictions/a1", body(job(value=8)))
    assert answer.status_code == 422
    assert "another prediction" in answer.json()["detail"]


def test_how_far_it_is_can_be_asked_until_it_is_forgotten(worker: Worker) -> None:
    worker.call("PUT", "/predictions/a1", body(job()))
    assert worker.call("GET", "/predictions/a1").json()["status"] == "succeeded"
    worker.clock.at += KEPT_SECONDS + 1
    assert worker.call("GET", "/predictions/a1").status_code == 404


def test_what_is_kept_is_bounded_by_its_bytes_and_the_oldest_goes_first(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.gpu.predictions.MOST_KEPT_BYTES", 5 * 64 << 10)
    for number in range(3):
        worker.call("PUT", f"/predictions/a{number}", body(job(2, number)))
        worker.clock.at += 1
    statuses = [worker.call("GET", f"/predictions/a{number}").status_code for number in range(3)]
    assert statuses == [404, 200, 200]


def test_a_wait_that_is_over_is_answered_with_how_far_it_is(worker: Worker) -> None:
    worker.gate.clear()
    answer = worker.call("PUT", "/predictions/a1", body(job()), Prefer="wait=0")
    assert answer.status_code == 202
    assert answer.json()["status"] in ("starting", "processing")


def test_what_is_cancelled_gives_no_output_and_frees_its_id(worker: Worker) -> None:
    worker.gate.clear()
    worker.call("PUT", "/predictions/a1", body(job()), Prefer="respond-async")
    assert worker.call("POST", "/predictions/a1/cancel").status_code == 200
    assert worker.call("GET", "/predictions/a1").json() == {"id": "a1", "status": "canceled"}
    worker.gate.set()
    assert worker.call("PUT", "/predictions/a1", body(job())).json()["status"] == "succeeded"
    assert worker.call("POST", "/predictions/a1/cancel").status_code == 404  # too late
    assert worker.call("POST", "/predictions/nobody/cancel").status_code == 404


def test_more_than_the_slots_are_refused_until_one_is_free(worker: Worker) -> None:
    worker.gate.clear()
    for number in range(SLOTS):
        assert (
            worker.call("PUT", f"/predictions/a{number}", body(job(1, number)), Prefer="respond-async").status_code
            == 202
        )
    assert worker.call("PUT", "/predictions/more", body(job(1, 200))).status_code == 409
    assert worker.call("GET", "/health-check").json()["status"] == "BUSY"
    worker.gate.set()
    worker.call("PUT", f"/predictions/a{SLOTS - 1}", body(job(1, SLOTS - 1)))  # the last in the queue
    assert worker.call("PUT", "/predictions/more", body(job(1, 200))).status_code == 200


@pytest.mark.parametrize(("swapper", "error"), [("old", "wrong_swapper"), ("broken", "models_corrupt")])
def test_a_job_that_fails_says_why(worker: Worker, swapper: str, error: str) -> None:
    document = worker.call("PUT", "/predictions/a1", body(job(swapper=swapper))).json()
    assert document["status"] == "failed"
    assert document["error"].startswith(f"{error}: ")
    assert "output" not in document


def test_a_webhook_hears_of_the_end_once(worker: Worker) -> None:
    worker.call("PUT", "/predictions/a1", body(job(), webhook="https://example.com/ended"))
    worker.call("PUT", "/predictions/a2", body(job(), webhook="https://example.com/x", webhook_events_filter=["start"]))
    assert [(notice.id, notice.status) for notice in worker.notices] == [("a1", "succeeded")]
    answer = worker.call("PUT", "/predictions/a3", body(job(), webhook="http://169.254.169.254/"))
    assert answer.status_code == 422


@pytest.mark.parametrize("token", ["", "Bearer", "Bearer let-me-out", f"Basic {TOKEN}", "Bearer \xe4"])
def test_nobody_comes_in_without_the_token(worker: Worker, token: str) -> None:
    headers = {"Authorization": token.encode("latin-1")}
    for method, path in [("POST", "/predictions"), ("GET", "/predictions/a1"), ("POST", "/predictions/a1/cancel")]:
        assert requests.request(method, worker.url + path, headers=headers, timeout=20).status_code == 401
    assert requests.get(f"{worker.url}/health-check", timeout=20).json()["status"] == "READY"
    assert requests.get(f"{worker.url}/ping", timeout=20).status_code == 200


def test_before_and_instead_of_being_ready_it_says_so(worker: Worker) -> None:
    worker.setup.ready = False
    assert worker.call("GET", "/health-check").json()["status"] == "STARTING"
    assert worker.call("GET", "/ping").status_code == 204
    assert worker.call("POST", "/predictions", body(job())).status_code == 503
    worker.setup.failure = "models_missing: There is no pack."
    assert worker.call("GET", "/ping").status_code == 503
    health = worker.call("GET", "/health-check").json()
    assert (health["status"], health["setup"]["logs"]) == ("SETUP_FAILED", worker.setup.failure)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"input": 7}', b"[" * 100_000, b'{"input": {"swapper": "a"}}'])
def test_what_is_no_request_is_refused(worker: Worker, content: bytes) -> None:
    answer = requests.post(f"{worker.url}/predictions", data=content, headers=BEARER, timeout=20)
    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert worker.swapped == 0


def test_a_body_that_is_too_large_is_not_read(worker: Worker) -> None:
    answer = requests.post(f"{worker.url}/predictions", data=b" " * (MOST_BODY_BYTES + 1), headers=BEARER, timeout=20)
    assert answer.status_code == 413


@pytest.mark.parametrize("path", ["/predictions/a.b", "/predictions/" + "a" * 65, "/predictions/%2e%2e"])
def test_an_id_that_is_no_name_is_refused(worker: Worker, path: str) -> None:
    assert worker.call("PUT", path, body(job())).status_code in (404, 422)


def test_other_paths_are_not_found(worker: Worker) -> None:
    assert worker.call("GET", "/shutdown").status_code == 404
    assert worker.call("DELETE", "/predictions/a1").status_code == 404
    assert "predictions_url" in worker.call("GET", "/").json()
