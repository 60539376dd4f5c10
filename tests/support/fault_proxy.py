"""A reverse proxy in front of the emulated S3 that can refuse, hold or cut off requests, as a real network does."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class ProxyFault:
    """What happens to matching requests: a response in S3's place, a hold until release(), or a connection cut off."""

    def __init__(
        self, method: str, path_part: str, status: int = 0, hold: float = 0, cut: bool = False, times: int = 1 << 30
    ) -> None:
        """Matches the first `times` requests of `method` with `path_part` in their path; `hold` is in seconds."""
        self.method, self.path_part, self.status, self.hold, self.cut = method, path_part, status, hold, cut
        self.reached = threading.Event()  # set at the first request
        self._released = threading.Event()
        self._times = times
        self._lock = threading.Lock()

    def applies_to(self, method: str, path: str) -> bool:
        """Whether the fault happens to this request; it counts as one of `times`."""
        if method != self.method or self.path_part not in path:
            return False
        with self._lock:
            self._times -= 1
            applies = self._times >= 0
        if applies:
            self.reached.set()
        return applies

    def wait(self) -> None:
        """Wait until release(), at most as long as the hold."""
        self._released.wait(self.hold)

    def release(self) -> None:
        """End the hold."""
        self._released.set()


def _make_handler(faults: list[ProxyFault], upstream: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    """A handler that forwards requests to `upstream`, but for what `faults` do to them."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            fault = next((each for each in list(faults) if each.applies_to(self.command, self.path)), None)
            if fault and fault.hold:
                fault.wait()
            if fault and fault.status:
                text = b"<Error><Code>AccessDenied</Code><Message>injected fault</Message></Error>"
                self._respond(fault.status, {"Content-Type": "application/xml"}, text)
                return
            host = urlsplit(upstream()).netloc
            connection = http.client.HTTPConnection(host, timeout=60)
            try:
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                connection.request(self.command, self.path, body, headers)
                response = connection.getresponse()
                self._respond(response.status, dict(response.getheaders()), response.read(), bool(fault and fault.cut))
            finally:
                connection.close()

        def _respond(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                    self.send_header(name, value)
            length = headers.get("content-length") if self.command == "HEAD" else None
            self.send_header("Content-Length", length or str(len(body)))
            self.end_headers()
            if cut:
                self.wfile.write(body[: len(body) // 2])
                self.close_connection = True
            elif self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _forward  # noqa: N815 (BaseHTTPRequestHandler's names)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # tests kill clients during a request


class FaultProxy:
    """The proxy; a context manager. `url` is for AWS_ENDPOINT_URL_S3."""

    def __init__(self, upstream: Callable[[], str]) -> None:
        """`upstream` returns the URL of the server behind the proxy; it is called for each request."""
        self._faults: list[ProxyFault] = []
        self._server = _Server(("127.0.0.1", 0), _make_handler(self._faults, upstream))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def fault(self, fault: ProxyFault) -> Iterator[ProxyFault]:
        """Activate the fault for the block."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)
            fault.release()
