"""A worker by the contract, whose swapper inverts crops, and which can go wrong in every way that a test wants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from layers.engine.crop_job import CropJob, write_crops
from local.standins.http_server import Fault, Faults, RecordedRequest, Request, Response, Service

TOKEN = "let-me-in"
NAME = "worker"


class FakeWorker:
    """Keeps predictions by id. `slow`: how many questions are answered with processing before a prediction ends."""

    def __init__(self) -> None:
        self.log: list[RecordedRequest] = []
        self.faults = Faults()
        self.swapped: list[str] = []  # ids, once for every swap that was paid for
        self.cancelled: list[str] = []
        self.slow = 0
        self.change: Callable[[dict[str, Any]], dict[str, Any]] = lambda document: document
        self._jobs: dict[str, CropJob] = {}
        self._questions: dict[str, int] = {}
        self._service = Service(NAME, self._respond, self.faults, self.log)

    def __enter__(self) -> FakeWorker:
        self._service.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.clear()
        self._service.__exit__()

    @property
    def url(self) -> str:
        return self._service.url

    def fault(self, kind: str, *, times: int | None = 1, match: str = "", **how: Any) -> Fault:
        """Let the next requests whose target or body contains `match` go wrong; kinds as in http_server.TRANSPORT."""
        return self.faults.add(Fault(f"{NAME}.{kind}", times, match, how))

    def forget(self) -> None:
        """Start anew."""
        self._jobs.clear()

    def asked(self, method: str) -> int:
        return sum(entry.request.method == method for entry in self.log)

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response.of({"detail": "the bearer token is missing or wrong"}, 401)
        name = request.path.split("/")[2]
        if request.path.endswith("/cancel"):
            if self._questions.get(name, 0) > self.slow:
                return Response.of({"detail": "there is no such prediction, or it has ended"}, 404)
            self.cancelled.append(name)
            return Response.of({})
        if request.method == "PUT" and name not in self._jobs:
            self._jobs[name] = CropJob.from_input(request.json()["input"])
            self.swapped.append(name)
        if name not in self._jobs:
            return Response.of({"detail": "there is no such prediction, or it is forgotten"}, 404)
        if name in self.cancelled:
            return Response.of({"id": name, "status": "canceled"})
        self._questions[name] = self._questions.get(name, 0) + 1
        if self._questions[name] <= self.slow:
            return Response.of({"id": name, "status": "processing"}, 202)
        job = self._jobs[name]
        metrics = {"predict_time": 0.5, "batch_crops": 2 * len(job.crops), "device": "cuda"}
        document = {"id": name, "status": "succeeded", "output": write_crops(255 - job.crops), "metrics": metrics}
        return Response.of(self.change(document))
