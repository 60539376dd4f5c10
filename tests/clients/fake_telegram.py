"""A stand-in for Telegram's Bot API (https://core.telegram.org/bots/api): messages wait until a bot asks for them."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

TOKEN = "123456:stand-in"
CHAT = 7
SECONDS = 60.0  # that a test waits for the bot


@dataclass
class FakeTelegram:
    """What was sent to the bot, and what the bot sent."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)  # by file_id
    updates: list[dict[str, Any]] = field(default_factory=list)
    sent: queue.Queue[tuple[str, Any]] = field(default_factory=queue.Queue)  # text, or a photo's bytes
    changed: threading.Condition = field(default_factory=threading.Condition)

    def send(self, picture: bytes | None = None, reply_to: bytes | None = None) -> Any:
        """Send the bot a message; what it answers: `("sendMessage", text)` or `("sendPhoto", bytes)`."""
        message: dict[str, Any] = {"chat": {"id": CHAT}, **self._photo(picture)}
        if reply_to:
            message["reply_to_message"] = {"chat": {"id": CHAT}, **self._photo(reply_to)}
        with self.changed:
            self.updates.append({"update_id": 1000 + len(self.updates), "message": message})
            self.changed.notify_all()
        return self.sent.get(timeout=SECONDS)

    def _photo(self, picture: bytes | None) -> dict[str, Any]:
        if picture is None:
            return {"text": "/start"}
        small, name = f"small-{len(self.files)}", f"file-{len(self.files)}"
        self.files[name] = picture
        return {"photo": [{"file_id": small, "file_size": 10}, {"file_id": name, "file_size": len(picture)}]}

    def call(self, method: str, parameters: dict[str, str], photo: bytes | None) -> Any:
        """The result of a method."""
        if method == "getUpdates":
            return self._wait_for_updates(int(parameters["offset"]), float(parameters["timeout"]))
        if method == "getFile":
            name = parameters["file_id"]
            return {"file_id": name, "file_path": f"photos/{name}"}
        assert method in ("sendMessage", "sendPhoto")
        assert int(parameters["chat_id"]) == CHAT
        self.sent.put((method, photo or parameters["text"]))
        return {"chat": {"id": CHAT}}

    def _wait_for_updates(self, offset: int, seconds: float) -> list[dict[str, Any]]:
        """Updates from `offset` on; those before are acknowledged by it."""

        def new() -> list[dict[str, Any]]:
            return [each for each in self.updates if each["update_id"] >= offset]

        with self.changed:
            self.changed.wait_for(new, timeout=seconds)
            return new()


def _parse(content_type: str, body: bytes) -> tuple[dict[str, str], bytes | None]:
    """The parameters of a form, and the file in its field `photo`."""
    if not content_type.startswith("multipart/"):
        return {name: values[-1] for name, values in parse_qs(body.decode()).items()}, None
    form: Message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in form.walk()
        if not part.is_multipart()
    }
    photo = parts.pop("photo", None)
    values = {name: value.decode() for name, value in parts.items() if isinstance(value, bytes)}
    return values, photo if isinstance(photo, bytes) else None


@contextmanager
def fake_telegram() -> Iterator[FakeTelegram]:
    """Serve for the block."""
    telegram = FakeTelegram()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            start, method = self.path.rsplit("/", 1)
            assert start == f"/bot{TOKEN}"
            result = telegram.call(method, *_parse(self.headers["Content-Type"], body))
            self._respond(json.dumps({"ok": True, "result": result}).encode())

        def do_GET(self) -> None:
            start, name = self.path.rsplit("/", 1)
            assert start == f"/file/bot{TOKEN}/photos"
            self._respond(telegram.files[name])

        def _respond(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False  # a bot that was ended does not take what its last request waits for
        threading.Thread(target=server.serve_forever, daemon=True).start()
        telegram.url = f"http://127.0.0.1:{server.server_port}"
        yield telegram
        server.shutdown()
