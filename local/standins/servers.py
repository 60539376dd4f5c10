"""Runs all stand-ins together, for the local cloud and the tests."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from local.standins import elevenlabs, pexels, pixabay, polly
from local.standins.http_server import LOOPBACK, TRANSPORT, Fault, Faults, RecordedRequest, Request, Response, Service
from local.standins.stock_footage import FOLDER

CALLBACK_SECRET = "whsec_" + base64.b64encode(b"the stand-ins' callback secret!!").decode()

KINDS = {  # faults by service; those of all services are described in http_server.TRANSPORT, the others in each service
    "elevenlabs": {*TRANSPORT, *elevenlabs.FAULTS, "no_alignment", "unparsable", "validation"},
    "polly": {*TRANSPORT, *polly.FAULTS, "no_marks", "unparsable"},
    "pexels": {*TRANSPORT, "rate_limit", "key", "none", "few", "null_sizes", "hls", "unparsable"},
    "pixabay": {*TRANSPORT, "rate_limit", "key", "none", "no_large", "unparsable"},
    "files": {*TRANSPORT, "no_range", "late_moov", "garbage", "larger", "missing"},
    "callbacks": set(TRANSPORT),
}


class StandIns:
    """ElevenLabs, Amazon Polly, Pexels, Pixabay, their file host and a receiver of callbacks, each on a free loopback
    port.

    `requests` are all requests, in the order of the responses; `callbacks` are those to the receiver: header names in
    lower case, and the body.
    """

    def __init__(self, footage: Path = FOLDER, host: str = LOOPBACK) -> None:
        """`footage` is the folder that keeps drawn files; `host` is the address to listen on."""
        self._host = host
        self.requests: list[RecordedRequest] = []
        self.callbacks: list[tuple[Mapping[str, str], bytes]] = []
        self._faults = Faults()
        self._running = ExitStack()
        self._files = self._service("files", pexels.FootageFileHost(footage).answer)
        search = pexels.PexelsStandIn(self._files.url)
        self._pexels = self._service("pexels", search.answer)
        search.url = self._pexels.url
        self._pixabay = self._service("pixabay", pixabay.PixabayStandIn(self._files.url).answer)
        self._elevenlabs = self._service("elevenlabs", elevenlabs.answer)
        self._polly = self._service("polly", polly.answer)
        self._receiver = self._service("callbacks", self._receive_callback)
        self.elevenlabs_url = self._elevenlabs.url
        self.polly_url = self._polly.url
        self.pexels_url = self._pexels.url
        self.pixabay_url = self._pixabay.url
        self.files_url = self._files.url
        self.callback_url = f"{self._receiver.url}/callback"

    def __enter__(self) -> Self:
        for service in (self._files, self._pexels, self._pixabay, self._elevenlabs, self._polly, self._receiver):
            self._running.enter_context(service)
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._running.close()

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make the video function use the stand-ins."""
        return {
            "ELEVENLABS_URL": self.elevenlabs_url,
            "AWS_ENDPOINT_URL_POLLY": self.polly_url,
            "PEXELS_URL": self.pexels_url,
            "PIXABAY_URL": self.pixabay_url,
            "TRUSTED_ORIGINS": f"{self.files_url},{self._receiver.url}",
            "ELEVENLABS_API_KEY": elevenlabs.API_KEY,
            "PEXELS_API_KEY": pexels.API_KEY,
            "VOICE_ID": elevenlabs.VOICE_ID,
            "CALLBACK_SECRET": CALLBACK_SECRET,
        }

    @property
    def secrets(self) -> list[str]:
        """Values of the variables that must not be logged."""
        return [value for name, value in self.environment.items() if "KEY" in name or "SECRET" in name]

    def fault(self, kind: str, *, times: int | None = 1, match: str = "", **how: Any) -> Fault:
        """Inject a fault: `kind` is "service.fault", one of KINDS, for the next `times` requests (None: until clear())
        whose path, query or body contains `match`. Each request has at most one fault, the oldest first.
        """
        service, _, what = kind.partition(".")
        if what not in KINDS.get(service, ()):
            raise ValueError(f"There is no fault {kind!r}.")
        return self._faults.add(Fault(kind, times, match, how))

    def clear(self) -> None:
        """End all faults; held requests continue."""
        self._faults.clear()

    def requests_to(self, service: str) -> list[RecordedRequest]:
        """The requests to one service."""
        return [record for record in self.requests if record.service == service]

    def _service(self, name: str, answer: Any) -> Service:
        return Service(name, answer, self._faults, self.requests, host=self._host)

    def _receive_callback(self, request: Request, fault: Fault | None) -> Response:
        self.callbacks.append((request.headers, request.body))
        return Response(204)
