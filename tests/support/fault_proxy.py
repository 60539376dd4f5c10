"""A reverse proxy before the emulated S3 that can refuse, hold or break what passes: the faults of a real network."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Fault:
    """What happens to requests that match: an answer in S3's stead, a hold until let go, or a connection cut off."""

    def __init__(
        self, method: str, part: str, status: int = 0, hold: float = 0, cut: bool = False, times: int = 1 << 30
    ) -> None:
        """Matches requests of `method` with `part` in their path, the first `times` of them; `hold` is in seconds."""
        self.method, self.part, self.status, self.hold, self.cut = method, part, status, hold, cut
        self.seen = threading.Event()  # a request has met it
        self._go = threading.Event()
        self._times = times
        self._lock = threading.Lock()

    def meets(self, method: str, path: str) -> bool:
        """Whether it befalls this request."""
        if method != self.method or self.part not in path:
            return False
        with self._lock:
            self._times -= 1
            befalls = self._times >= 0
        if befalls:
            self.seen.set()
        return befalls

    def wait(self) -> None:
        """Until `let_go`, or as long as it holds."""
        self._go.wait(self.hold)

    def let_go(self) -> None:
        """Ends the hold."""
        self._go.set()


class FaultProxy:
    """The proxy; a context manager. `url` is its own, for AWS_ENDPOINT_URL_S3."""

    def __init__(self, upstream: Callable[[], str]) -> None:
        """`upstream` gives the URL of what it stands before, once that is known."""
        self._faults: list[Fault] = []
        faults = self._faults

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _pass(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = next((each for each in list(faults) if each.meets(self.command, self.path)), None)
                if fault and fault.hold:
                    fault.wait()
                if fault and fault.status:
                    text = b"<Error><Code>AccessDenied</Code><Message>meddled</Message></Error>"
                    self._answer(fault.status, {"Content-Type": "application/xml"}, text)
                    return
                host = urlsplit(upstream()).netloc
                link = http.client.HTTPConnection(host, timeout=60)
                try:
                    headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                    link.request(self.command, self.path, body, headers)
                    answer = link.getresponse()
                    self._answer(answer.status, dict(answer.getheaders()), answer.read(), bool(fault and fault.cut))
                finally:
                    link.close()

            def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: bool = False) -> None:
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

            do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass  # noqa: N815 (BaseHTTPRequestHandler's names)

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a client that was killed in mid-request is part of the tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> FaultProxy:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[Fault]:
        """The fault for as long as the block lasts."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)
            fault.let_go()
