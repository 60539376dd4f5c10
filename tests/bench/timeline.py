"""Notes when a process imports, downloads and works: for cold_request.py, which starts it before anything else.

Nothing heavy is imported here, and nothing of the product before the product does it itself: what is watched is patched
as soon as it has been imported.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

OF_FACE = " of the face"  # follows the name of what is done with the source picture


class Timeline:
    """Spans in seconds since the process was started (BENCH_STARTED, epoch)."""

    def __init__(self) -> None:
        self._started = float(os.environ["BENCH_STARTED"])
        self.begun = self.now()  # when the first line of code ran
        self.imports: list[tuple[str, float, float]] = []  # module, when it had been imported, seconds of its own
        self.spans: list[tuple[str, float, float]] = []  # name, begin, end
        self.asked: dict[str, float] = {}  # by a blob's digest: when its first byte was asked for
        self.pieces: dict[str, list[tuple[float, int]]] = {}  # by digest: when bytes arrived, and how many
        self._thread = threading.local()
        self._patches = {
            "layers.core.telemetry": self._watch_phases,
            "layers.core.storage": self._watch_clients,
            "layers.models.runtime.s3_download": self._watch_downloads,
            "layers.models.runtime.model_store": self._watch_store,
            "functions.swap.picture_loading": self._watch_reads,
            "functions.swap.source_face": self._watch_sources,
        }

    def now(self) -> float:
        """Seconds since the process was started."""
        return time.time() - self._started

    @contextmanager
    def span(self, name: str) -> Iterator[None]:
        """Note when what is inside begins and ends; on behalf of the source face, its name says so."""
        began, whose = self.now(), OF_FACE if getattr(self._thread, "of_face", False) else ""
        try:
            yield
        finally:
            self.spans.append((name + whose, began, self.now()))

    def watch(self) -> None:
        """Note every import from now on, and patch what is watched. A module's own time is without its imports'."""
        bootstrap: Any = sys.modules["_frozen_importlib"]
        load = bootstrap._find_and_load_unlocked

        def find_and_load(name: str, import_: Any) -> Any:
            stack = self._thread.__dict__.setdefault("stack", [])
            stack.append(0.0)
            began = time.perf_counter()
            try:
                module = load(name, import_)
                if patch := self._patches.pop(name, None):
                    patch(sys.modules[name])
                return module
            finally:
                took = time.perf_counter() - began
                own = took - stack.pop()
                if stack:
                    stack[-1] += took
                self.imports.append((name, self.now(), own))

        bootstrap._find_and_load_unlocked = find_and_load

    def _wrap(self, owner: Any, method: str, name: str) -> None:
        original = getattr(owner, method)

        def timed(*arguments: Any, **named: Any) -> Any:
            with self.span(name):
                return original(*arguments, **named)

        setattr(owner, method, timed)

    def _watch_phases(self, module: Any) -> None:
        enter = module.Phases.__call__

        @contextmanager
        def phase(phases: Any, name: str) -> Iterator[None]:
            with self.span(name), enter(phases, name):
                yield

        module.Phases.__call__ = phase

    def _watch_clients(self, module: Any) -> None:
        make = module.client

        def client(service: str) -> Any:
            if service in module._clients:
                return make(service)
            with self.span("client"):
                return make(service)

        module.client = client

    def _watch_downloads(self, module: Any) -> None:
        read: Callable[..., Iterator[int]] = module.Download._read_pieces

        def read_pieces(download: Any, *arguments: Any) -> Iterator[int]:
            digest = download.blob.sha256
            self.asked.setdefault(digest, self.now())
            for size in read(download, *arguments):
                self.pieces.setdefault(digest, []).append((self.now(), size))
                yield size

        module.Download._read_pieces = read_pieces

    def _watch_store(self, module: Any) -> None:
        self._wrap(module.ModelStore, "current_pack", "pack")

    def _watch_reads(self, module: Any) -> None:
        self._wrap(module.PictureLoader, "read", "read")
        self._wrap(module.PictureLoader, "read_together", "read" + OF_FACE)

    def _watch_sources(self, module: Any) -> None:
        load = module.SourceLoader._load

        def load_source(*arguments: Any, **named: Any) -> Any:
            self._thread.of_face = True
            try:
                return load(*arguments, **named)
            finally:
                self._thread.of_face = False

        module.SourceLoader._load = load_source
