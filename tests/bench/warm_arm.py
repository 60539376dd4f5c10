"""One process of the benchmark of a warm request. warm.py runs it:

    python -P warm_arm.py now|old_engine|old PICTURE FACE RESULT [OLD_TREE]

`old` is started among the files of an older commit, so nothing of these benchmarks is imported here. Each line of
standard input, `new` or `default`, asks for one swap; each answer is a line of JSON: CPU seconds and seconds by part.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

SECONDS = 120.0
DETECTIONS = ("find faces: meme", "find faces: source")  # in the order of a request
PARTS = {
    "decode": "decode",
    "embed": "embed",
    "swap": "swap",
    "paste": "paste",
    "encode": "encode",
    "label": "label",
    "fetch": "storage",
    "latent": "storage",
    "write": "storage",
}  # by the function's own phase
Costs = dict[str, tuple[float, float]]  # CPU seconds of the process and seconds, by part


class Profile:
    """Measures the phases of a request on the thread that runs it, each without the phases inside it."""

    def __init__(self, phases: Any) -> None:
        """`phases`: the function's class Phases, whose timer is replaced."""
        self._thread = threading.get_ident()
        self._costs: Costs = {}
        self._inside: list[tuple[float, float]] = []  # what the phases inside each open one have taken
        self._detections = iter(DETECTIONS)
        mock.patch.object(phases, "__call__", lambda _, name: self._measure(name)).start()

    def run(self, request: Callable[[], None]) -> Costs:
        """The costs of one request, by part and together; what belongs to no part is the rest."""
        self._costs, self._detections = {}, iter(DETECTIONS)
        before = _read_clocks()
        request()
        whole = _subtract(_read_clocks(), before)
        spent = [sum(each) for each in zip((0.0, 0.0), *self._costs.values(), strict=True)]
        return {**self._costs, "rest": _subtract(whole, (spent[0], spent[1])), "all": whole}

    @contextmanager
    def _measure(self, name: str) -> Iterator[None]:
        part = next(self._detections) if name == "detect" else PARTS.get(name)
        if part is None or threading.get_ident() != self._thread:
            yield
            return
        before = _read_clocks()
        self._inside.append((0.0, 0.0))
        try:
            yield
        finally:
            whole = _subtract(_read_clocks(), before)
            inner = self._inside.pop()
            if self._inside:
                self._inside[-1] = _add(self._inside[-1], whole)
            self._costs[part] = _add(self._costs.get(part, (0.0, 0.0)), _subtract(whole, inner))


def _read_clocks() -> tuple[float, float]:
    return time.process_time(), time.perf_counter()


def _add(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] + other[0], one[1] + other[1]


def _subtract(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    return one[0] - other[0], one[1] - other[1]


def take_engine(tree: Path) -> None:
    """Let the function's swapper be the native engine of an older commit, by its own binding."""
    from layers.engine import native_swapper

    spec = importlib.util.spec_from_file_location("old_native_swapper", tree / "layers/engine/native_swapper.py")
    assert spec
    assert spec.loader
    old = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = old
    spec.loader.exec_module(old)
    replacements = ((old, "LIBRARY", tree / "layers/engine/native/libcoldswap.so"),)
    replacements += tuple((native_swapper, name, getattr(old, name)) for name in ("NativeSwapper", "Description"))
    for module, name, value in replacements:
        mock.patch.object(module, name, value).start()


def make_swap(arm: str, meme: str, face: str, key: str) -> Callable[[str], None]:
    """The function that swaps: the faces of `new` are the request's, those of `default` the stack's."""
    services = importlib.import_module("functions.swap.services")
    values = importlib.import_module("functions.swap.values")
    deadline = importlib.import_module("layers.core.deadline")
    load = services.services if arm == "old" else services.load_services
    options = {"format": "png", "color_match": False, "soft_edges": False}
    options |= {} if arm == "old" else {"detail": "fast"}

    def swap(which: str) -> None:
        request = values.SwapRequest(meme, face if which == "new" else None, **options)
        outcome = load().swap(request, key=key, deadline=deadline.Deadline.after(SECONDS))
        result = outcome if arm == "old" else outcome.result
        assert [report.swapped for report in result.faces] == [True]
        assert result.engine == f"native {os.environ['BENCH_INSTRUCTIONS']}", result.engine

    return swap


def main() -> None:
    """Answer until standard input ends."""
    arm, meme, face, key, *tree = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the function logs to standard output
    native = importlib.import_module("layers.engine.native_swapper")
    if arm == "old":
        held = functools.partial(native.NativeSwapper, instructions=os.environ["BENCH_INSTRUCTIONS"])
        mock.patch.object(native, "NativeSwapper", held).start()
    else:
        if arm == "old_engine":
            take_engine(Path(tree[0]))
        importlib.import_module("tests.bench.instructions").hold_engine()
    profile = Profile(importlib.import_module("layers.core.telemetry").Phases)
    swap = make_swap(arm, meme, face, key)
    for line in sys.stdin:
        costs = profile.run(functools.partial(swap, line.strip()))
        answers.write(json.dumps(costs) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
