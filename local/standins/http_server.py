"""The HTTP server of all stand-ins: a free loopback port, a log of requests, and faults on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

LOOPBACK = "127.0.0.1"
CHUNK_BYTES = 1 << 16  # sent between two checks of whether a fault ends or slows the response
MAX_BODY_BYTES = 8 << 20

HTML = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Something went wrong</h1></body></html>"


@dataclass(frozen=True)
class Request:
    """A client's request; header names are in lower case."""

    service: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Parse the body as JSON. Raises ValueError."""
        return json.loads(self.body)


@dataclass
class RecordedRequest:
    """A log entry: the request, the response's status (0: there was none), and the bytes of body sent so far."""

    request: Request
    status: int
    bytes_sent: int = 0

    @property
    def service(self) -> str:
        return self.request.service

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def range(self) -> str | None:
        """The Range header, if there was one."""
        return self.request.headers.get("range")


@dataclass
class Response:
    """A response: a body, or `length` bytes of a file from `offset`."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    file: Path | None = None
    offset: int = 0
    length: int = 0

    @staticmethod
    def of(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
        """A JSON response."""
        return Response(status, {"Content-Type": "application/json", **(headers or {})}, json.dumps(value).encode())

    @property
    def size(self) -> int:
        return self.length if self.file else len(self.body)

    def chunks(self) -> Iterator[bytes]:
        """The body, in order."""
        if self.file is None:
            yield from (self.body[start : start + CHUNK_BYTES] for start in range(0, len(self.body), CHUNK_BYTES))
            return
        with self.file.open("rb") as source:
            source.seek(self.offset)
            remaining = self.length
            while remaining and (chunk := source.read(min(CHUNK_BYTES, remaining))):
                remaining -= len(chunk)
                yield chunk


class Fault:
    """A fault that happens `times` times (None: until it is cleared) to requests whose target contains `match`.

    `reached` is set when it first happens; `release()` lets held requests continue.
    """

    def __init__(self, kind: str, times: int | None, match: str, how: Mapping[str, Any]) -> None:
        self.service, _, self.kind = kind.partition(".")
        self.remaining = times
        self.match = match
        self.how = how
        self.reached = threading.Event()
        self.released = threading.Event()

    def release(self) -> None:
        """Let the requests that this fault holds continue, and hold no more."""
        self.remaining = 0
        self.released.set()


class Faults:
    """The active faults, the oldest first."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        with self._lock:
            self._faults.append(fault)
        return fault

    def take(self, service: str, text: str) -> Fault | None:
        """The oldest fault that matches a request; it counts as used once."""
        with self._lock:
            for fault in self._faults:
                if fault.service == service and fault.remaining != 0 and fault.match in text:
                    fault.remaining = None if fault.remaining is None else fault.remaining - 1
                    fault.reached.set()
                    return fault
        return None

    def clear(self) -> None:
        with self._lock:
            faults, self._faults = self._faults, []
        for fault in faults:
            fault.release()


# Faults that every service can have, with their options.
TRANSPORT: dict[str, str] = {
    "hold": "sends nothing until release(); after=N: stops after N bytes of the body",
    "slow": "seconds=S: responds S seconds late",
    "trickle": "bytes_per_second=N: sends the body slowly",
    "drop": "closes the connection without a response",
    "broken": "after=N: closes the connection after N bytes of the body, fewer than its Content-Length",
    "length": "promised=N: the Content-Length is N, whatever the body's is",
    "html": "status=S (502): a page of HTML",
    "status": "status=S, retry_after=S (no such header without it): a bare status",
    "redirect": "to=URL: 302",
}

Responder = Callable[[Request, Fault | None], Response]


class Service:
    """A server on a free port. `respond` is passed a fault only if it is not one of TRANSPORT."""

    def __init__(
        self,
        name: str,
        respond: Responder,
        faults: Faults,
        log: list[RecordedRequest],
        port: int = 0,
        host: str = LOOPBACK,
    ) -> None:
        self.name = name
        self._respond = respond
        self._faults = faults
        self._log = log
        self.closed = threading.Event()
        service = self

        class Handler(_Handler):
            def handle_request(self) -> None:
                service.serve(self)

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.url = f"http://{host}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name=name, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def serve(self, handler: _Handler) -> None:
        """Respond to one request."""
        request = handler.read(self.name)
        fault = self._faults.take(self.name, f"{handler.path} {request.body.decode(errors='replace')}")
        if fault and fault.kind == "drop":
            self._log.append(RecordedRequest(request, 0))
            handler.close_connection = True
            return
        if fault and fault.kind == "hold" and "after" not in fault.how:
            fault.released.wait()
        if fault and fault.kind == "slow":
            self.closed.wait(fault.how["seconds"])
        transport = fault if fault and fault.kind in TRANSPORT else None
        response = _transport_response(transport) or self._respond(request, None if transport else fault)
        record = RecordedRequest(request, response.status)
        self._log.append(record)
        try:
            for chunk in handler.send_chunks(response, transport, self.closed):
                # Before the client can receive it, so that whoever has the response finds it here.
                record.bytes_sent += len(chunk)
                handler.wfile.write(chunk)
        except ConnectionError:
            handler.close_connection = True


def _transport_response(fault: Fault | None) -> Response | None:
    """The response of a fault that replaces the service's own, if there is one."""
    if fault is None:
        return None
    if fault.kind == "html":
        return Response(fault.how.get("status", 502), {"Content-Type": "text/html; charset=utf-8"}, HTML)
    if fault.kind == "status":
        wait = fault.how.get("retry_after")
        return Response(fault.how["status"], {} if wait is None else {"Retry-After": str(wait)})
    if fault.kind == "redirect":
        return Response(302, {"Location": fault.how["to"]})
    return None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 60  # seconds that an idle connection is kept

    def handle_request(self) -> None:
        raise NotImplementedError

    def do_GET(self) -> None:
        self.handle_request()

    def do_HEAD(self) -> None:
        self.handle_request()

    def do_POST(self) -> None:
        self.handle_request()

    def do_PUT(self) -> None:
        self.handle_request()

    def read(self, service: str) -> Request:
        """Read the request with its body."""
        target = urlsplit(self.path)
        length = min(int(self.headers.get("Content-Length") or 0), MAX_BODY_BYTES)
        return Request(
            service=service,
            method=self.command,
            path=target.path,
            query=dict(parse_qsl(target.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
        )

    def send_chunks(self, response: Response, fault: Fault | None, closed: threading.Event) -> Iterator[bytes]:
        """Send the status and headers, and yield the chunks of the body when they are due."""
        kind = fault.kind if fault else ""
        how = fault.how if fault else {}
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(how["promised"] if kind == "length" else response.size))
        self.end_headers()
        self.close_connection = self.close_connection or kind in ("length", "broken")
        if self.command == "HEAD":
            return
        limit = how.get("after") if kind in ("hold", "broken") else None
        bytes_sent = 0
        for chunk in response.chunks():
            if fault and limit is not None and bytes_sent + len(chunk) > limit:
                yield chunk[: limit - bytes_sent]
                if kind == "broken":
                    return
                fault.released.wait()
                yield chunk[limit - bytes_sent :]
                limit = None
            elif kind == "trickle":
                yield from _trickle(chunk, how["bytes_per_second"], closed)
            else:
                yield chunk
            bytes_sent += len(chunk)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: the stand-ins keep a log of their own."""


def _trickle(chunk: bytes, bytes_per_second: float, closed: threading.Event) -> Iterator[bytes]:
    step = max(1, round(bytes_per_second / 10))
    for start in range(0, len(chunk), step):
        closed.wait(len(chunk[start : start + step]) / bytes_per_second)
        yield chunk[start : start + step]
