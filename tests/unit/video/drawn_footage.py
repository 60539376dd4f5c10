"""Footage drawn by ffmpeg, a file server with the faults of real ones, and ffmpeg's own reading of a result."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run

Frames = NDArray[np.uint8]  # [N, H, W, 3], RGB


def draw(
    path: Path, *output: str, source: str = "testsrc2", size: str = "720x1280", rate: float = 25, seconds: float = 6
) -> Path:
    """A test picture with a tone, in H.264 unless `output` says otherwise."""
    picture = f"{source}{'=' if '=' not in source else ':'}size={size}:rate={rate}:duration={seconds}"
    inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"sine=duration={seconds}"]
    encoder = [
        "-c:v",
        "libx264",
        "-preset",
        "ultrafast",
        "-crf",
        "23",
        "-pix_fmt",
        "yuv420p",
        "-movflags",
        "+faststart",
    ]
    run([*inputs, *encoder, *output, str(path)], deadline=Deadline.after(600))
    return path


def frames(path: Path, width: int = 720, height: int = 1280, *only: str) -> Frames:
    """All pictures as decoded, scaled to that size, with `only` as further output options."""
    raw = path.with_suffix(".rgb")
    size = ["-vf", f"scale={width}:{height}", "-fps_mode", "passthrough"]
    run(["-i", str(path), *size, *only, "-f", "rawvideo", "-pix_fmt", "rgb24", str(raw)], deadline=Deadline.after(600))
    pixels = np.frombuffer(raw.read_bytes(), np.uint8).reshape(-1, height, width, 3)
    raw.unlink()
    return pixels


def probe(path: Path, *options: str) -> str:
    """ffmpeg's log while it decodes all of a file."""
    return run(
        ["-i", str(path), "-fps_mode", "passthrough", *options, "-f", "null", "-"],
        deadline=Deadline.after(600),
        loglevel="info",
    )


def count(path: Path) -> int:
    """The number of pictures that ffmpeg decodes."""
    return int(re.findall(r"frame=\s*(\d+)", probe(path, "-an"))[-1])


@dataclass
class FileServer:
    """A server of files by name; its `behaviour` is one of those that real servers have."""

    files: dict[str, bytes] = field(default_factory=dict)
    behaviour: str = "ranges"
    requests: list[str] = field(default_factory=list)  # name, and range if there is one
    sent: int = 0  # bytes
    origin: str = ""

    def url(self, name: str) -> str:
        return f"{self.origin}/{name}"


@contextmanager
def serving() -> Iterator[FileServer]:
    """A server on a free port of the loopback interface."""
    files = FileServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name, byte_range = self.path[1:], self.headers.get("Range")
            files.requests.append(f"{name} {byte_range or ''}".strip())
            data = files.files.get(name)
            if files.behaviour == "forbidden":
                return self.answer(403, b"<html>forbidden</html>")
            if data is None:
                return self.answer(404, b"<html>not here</html>")
            if name.startswith("moved"):
                return self.answer(302, b"", Location="https://elsewhere.example/")
            if byte_range and files.behaviour not in ("whole", "endless", "liar"):
                first, last = (int(part) for part in byte_range.removeprefix("bytes=").split("-"))
                body = data[first : last + 1]
                content_range = f"bytes {first}-{first + len(body) - 1}/{len(data)}"
                if files.behaviour == "wrong range" and first:
                    content_range = content_range.replace(f"{first}-", "0-")
                if files.behaviour == "star":
                    content_range = content_range.replace(f"/{len(data)}", "/*")
                return self.answer(206, body, **{"Content-Range": content_range})
            return self.answer(200, data)

        def answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if files.behaviour != "endless":
                self.send_header("Content-Length", str(len(body) + (1000 if files.behaviour == "liar" else 0)))
            self.end_headers()
            try:
                self.wfile.write(body)
                files.sent += len(body)
            except OSError:
                return

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    files.origin = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield files
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def difference(one: Frames, other: Frames) -> float:
    """The mean absolute difference of two pictures, from 0 to 255."""
    return float(np.abs(one.astype(np.int16) - other.astype(np.int16)).mean())


def order(pictures: Sequence[Frames]) -> list[str]:
    """The dominant channel of each picture."""
    return ["rgb"[int(picture.reshape(-1, 3).mean(axis=0).argmax())] for picture in pictures]
