"""The measurement of a swap by MemorySize, without a Docker engine."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.error import HTTPError

import pytest

from local.sam import held, sizes
from local.sam.docker_engine import Engine
from local.sam.measure import FullSizeSwap
from tests.bench.hold import REPLACEMENT_CODE, XGETBV_CODE

ANSWER = {"engine": "native avx2", "peak_memory_mb": 600}
FAILURE = {"errorType": "ModelsMissing", "errorMessage": "none"}


class Clock:
    """A clock that goes on only by what a swap takes."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("local.sam.sizes.time", clock)
    return clock


class Sandboxes:
    """Sandboxes of all sizes: the first swap of each takes so many processor-seconds, the later ones a quarter."""

    def __init__(self, clock: Clock, seconds: float, answer: Any = None, smallest: int = 0) -> None:
        self.clock, self.seconds, self.answer, self.smallest = clock, seconds, answer or ANSWER, smallest
        self.started: list[tuple[int, str]] = []

    @contextmanager
    def start(self, size: int, face: str) -> Iterator[Callable[[Any], Any]]:
        self.started.append((size, face))
        wait = iter([self.seconds, *[self.seconds / 4] * sizes.WARM_RUNS])

        def invoke(event: Any) -> Any:
            assert ("face" in event) == (face == "new")
            self.clock.now += next(wait) * 1769 / size
            if size < self.smallest:
                raise HTTPError("", 500, "", mock.Mock(), io.BytesIO())
            return self.answer

        yield invoke


@pytest.fixture
def swap() -> FullSizeSwap:
    return FullSizeSwap({"MODELS_BUCKET": "models"}, {"meme": "s3://a/b", "face": "s3://a/b"}, mock.Mock())


def measure(sandboxes: Sandboxes, swap: FullSizeSwap, *memory_mb: int, times: int = 1) -> list[dict[str, Any]]:
    """The rows."""
    return sizes.measure_rows(sandboxes.start, swap, lambda _: None, memory_mb, times)


def test_seconds_and_gigabyte_seconds_of_each_size_and_face(clock: Clock, swap: FullSizeSwap) -> None:
    row, _ = measure(Sandboxes(clock, 4.0), swap, 1769)

    assert (row["memory_mb"], row["face"], row["cold_s"], row["warm_s"]) == (1769, "new", 4.0, 1.0)
    assert (row["cold_gb_s"], row["warm_gb_s"]) == (6.91, 1.73)
    assert row["load"] >= 0


def test_sizes_and_faces_take_turns_after_a_swap_that_is_not_counted(clock: Clock, swap: FullSizeSwap) -> None:
    sandboxes = Sandboxes(clock, 4.0)

    measure(sandboxes, swap, 1024, 1769, times=2)

    turn = [(1024, "new"), (1024, "default"), (1769, "new"), (1769, "default")]
    assert sandboxes.started == [(1769, "default"), *turn, *turn]


def test_every_sandbox_has_the_network_s_burst(clock: Clock, swap: FullSizeSwap) -> None:
    measure(Sandboxes(clock, 4.0), swap, 1024, 1769, times=2)

    assert isinstance(swap.server, mock.Mock)
    assert swap.server.stdin.write.call_args_list == [mock.call("\n")] * 8


@pytest.mark.parametrize("engine", ["native avx512", "onnxruntime", None])
def test_another_engine_stops_the_measurement(engine: str | None, clock: Clock, swap: FullSizeSwap) -> None:
    with pytest.raises(RuntimeError, match="not on the native engine with AVX2"):
        measure(Sandboxes(clock, 4.0, {**ANSWER, "engine": engine}), swap, 1769)


def test_a_size_that_is_too_small_has_a_row_without_numbers(clock: Clock, swap: FullSizeSwap) -> None:
    rows = measure(Sandboxes(clock, 4.0, smallest=1024), swap, 512, 1769)

    assert rows[0] == {"memory_mb": 512, "face": "new", "errors": ["NoResponse"]}
    assert sizes.advise(rows)["memory_mb"] == 1769
    assert "| 512 | a new face | failed: NoResponse |" in sizes.format_tables(
        {"measured": {}, "curve": rows, "advice": sizes.advise(rows)}
    )


def test_a_failed_swap_is_no_number(clock: Clock, swap: FullSizeSwap) -> None:
    (row, _) = measure(Sandboxes(clock, 4.0, FAILURE), swap, 1769)

    assert row["errors"] == ["ModelsMissing"]


def test_the_file_says_what_the_tables_say(
    clock: Clock, swap: FullSizeSwap, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = measure(Sandboxes(clock, 5.6), swap, 1024, 1769)

    sizes.write_report(rows, {"date": "2026-11-28"}, tmp_path / "bench/sizes.json")

    report = json.loads((tmp_path / "bench/sizes.json").read_text())
    assert report["curve"] == rows
    assert report["advice"]["dollars_per_1000"]["cold"] == pytest.approx(5.6 * 1769 / 1024 * 0.0166667, abs=0.001)
    output = capsys.readouterr().out
    assert output.strip() == sizes.format_tables(report)
    assert f"{report['advice']['break_even']['warm']:,} warm swaps" in output


def test_the_other_sizes_are_compared_with_the_best(clock: Clock, swap: FullSizeSwap) -> None:
    rows = measure(Sandboxes(clock, 4.0), swap, 512, 1024, 1769)

    lines = sizes.compare_sizes(rows, 1769)

    assert lines == [
        "512 MB: 3.46 of the time, 1.00 of the price",
        "1024 MB: 1.73 of the time, 1.00 of the price",
    ]


class Images(Engine):
    """A Docker engine with one image of these libraries."""

    def docker(self, *arguments: str, timeout: float = 600.0) -> str:
        match arguments:
            case ("cp", source, folder):
                parent = Path(folder) / source.rpartition("/")[2]
                parent.mkdir()
                for name in ("onnxruntime_pybind11_state.so", "libcoldswap.so"):
                    (parent / name).write_bytes(b"a" + XGETBV_CODE + b"b")
                return ""
            case ("create", "swapfunction:swap"):
                return "container"
            case ("rm", "container"):
                return ""
        raise AssertionError(arguments)


def test_a_container_gets_libraries_that_see_no_avx512(tmp_path: Path) -> None:
    options = held.hold_container(Images("", ""), "swapfunction:swap", tmp_path)

    volumes = [option.removeprefix("--volume=").split(":") for option in options if option.startswith("--volume=")]
    assert [inside for _, inside, _ in volumes] == [
        "/opt/python/onnxruntime/capi/onnxruntime_pybind11_state.so",
        "/opt/python/layers/engine/native/libcoldswap.so",
    ]
    assert {Path(copy).read_bytes() for copy, _, _ in volumes} == {b"a" + REPLACEMENT_CODE + b"b"}
    assert "--env=OPENBLAS_CORETYPE=Haswell" in options
