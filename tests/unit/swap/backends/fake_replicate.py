"""Replicate by its contract, whose model inverts the colours within given boxes."""

from __future__ import annotations

import base64
from collections.abc import Callable

import cv2
import numpy as np

from functions.swap.backends.replicate import Replicate
from layers.media.picture import Pixels
from local.standins.http_server import Fault, Faults, RecordedRequest, Request, Response, Service

TOKEN = "r8_sesame"
NAME = "replicate"
VERSION = "somebody/face-swap:" + "ab" * 32


class FakeReplicate:
    """Keeps predictions by id. `slow`: how many questions are answered with processing before one ends."""

    def __init__(self, *boxes: tuple[int, int, int, int]) -> None:
        self.boxes = boxes
        self.log: list[RecordedRequest] = []
        self.faults = Faults()
        self.made: list[str] = []  # ids, each of which is paid for
        self.cancelled: list[str] = []
        self.slow = 0
        self.end: dict[str, object] = {}  # what the end of a prediction has instead of the usual
        self.paint: Callable[[Pixels], Pixels] = lambda picture: picture
        self.extension = ".png"
        self._pictures: dict[str, Pixels] = {}
        self._questions = 0
        self._service = Service(NAME, self._respond, self.faults, self.log)

    def __enter__(self) -> FakeReplicate:
        self._service.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.faults.clear()
        self._service.__exit__()

    def client(self, token: str = TOKEN) -> Replicate:
        """A client of it."""
        return Replicate(VERSION, token, 0.001, api=self._service.url, delivery_hosts=("127.0.0.1",))

    def fault(self, kind: str, *, times: int | None = 1, match: str = "", **how: object) -> Fault:
        """Let the next requests whose target or body contains `match` go wrong: kinds as in http_server.TRANSPORT, or
        throttled, which says after how many `seconds` to come again."""
        return self.faults.add(Fault(f"{NAME}.{kind}", times, match, how))

    def asked(self, method: str) -> int:
        return sum(entry.request.method == method and "/files/" not in entry.path for entry in self.log)

    def _respond(self, request: Request, fault: Fault | None) -> Response:
        if request.path.startswith("/files/"):
            return Response(200, {}, self._deliver(request.path.split("/")[2]))
        if fault:
            detail = f"Request was throttled. Your rate limit resets in ~{fault.how['seconds']}s."
            return Response.of({"detail": detail}, 429)
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            return Response.of({"detail": "Unauthenticated"}, 401)
        if request.method == "POST" and request.path == "/v1/predictions":
            name = f"prediction{len(self.made):04}"
            content = base64.b64decode(request.json()["input"]["input_image"].partition(",")[2])
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None
            self._pictures[name] = np.asarray(picture, np.uint8)
            self.made.append(name)
            return self._tell(name, 201)
        name = request.path.split("/")[3]
        if request.path.endswith("/cancel"):
            if self._questions > self.slow:
                return self._tell(name, 200)  # too late
            self.cancelled.append(name)
        return self._tell(name, 200) if name in self._pictures else Response.of({"detail": "Not found."}, 404)

    def forget(self) -> None:
        self._pictures.clear()

    def _tell(self, name: str, status: int) -> Response:
        if name in self.cancelled:
            return Response.of({"id": name, "status": "canceled"}, status)
        self._questions += 1
        if self._questions <= self.slow:
            return Response.of({"id": name, "status": "processing"}, status)
        output = f"{self._service.url}/files/{name}"
        usual = {"id": name, "status": "succeeded", "output": output, "metrics": {"predict_time": 3.5}}
        return Response.of({**usual, **self.end}, status)

    def _deliver(self, name: str) -> bytes:
        picture = self._pictures[name].copy()
        for x0, y0, x1, y1 in self.boxes:
            picture[y0:y1, x0:x1] = 255 - picture[y0:y1, x0:x1]
        return cv2.imencode(self.extension, self.paint(picture))[1].tobytes()
