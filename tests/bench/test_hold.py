"""Holding processes to AVX2, and its part of swap.json."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import onnxruntime
import pytest

from layers.engine import native_embedder, native_swapper
from layers.engine.build import LIBRARY
from tests.bench import bench, form, hold, instructions

BLOCK = "from tests.bench.hold import onnxruntime_block as block; print(block())"


@pytest.fixture
def undo_hold() -> Iterator[None]:
    """Undo the patches of a hold after the test."""
    yield
    mock.patch.stopall()


def block(environ: dict[str, str]) -> int:
    """Channels in a block of onnxruntime's convolutions, in a process with these variables."""
    command = [sys.executable, "-c", BLOCK]
    return int(subprocess.run(command, env={**os.environ, **environ}, check=True, capture_output=True).stdout)


def test_onnxruntime_takes_its_avx2_kernels_where_it_is_held(tmp_path: Path) -> None:
    assert block(hold.hold_to_avx2(tmp_path)) == 8
    assert block({}) == {"avx512": 16, "avx2": 8}[hold.best_instructions()]


def test_the_installed_library_stays_as_it_is(tmp_path: Path) -> None:
    hold.hold_to_avx2(tmp_path)
    (copy,) = (tmp_path / "avx2/onnxruntime/capi").glob("onnxruntime_pybind11_state*.so")
    original = Path(onnxruntime.__file__).parent / "capi" / copy.name

    before, after = original.read_bytes(), copy.read_bytes()

    assert len(before) == len(after)
    assert hold.XGETBV_CODE in before
    assert hold.XGETBV_CODE not in after


def test_a_library_that_asks_in_another_way_is_not_taken_for_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hold, "XGETBV_CODE", b"never in any library")
    with pytest.raises(RuntimeError, match="cannot be held to AVX2"):
        hold.hold_to_avx2(tmp_path)


@pytest.mark.skipif(not LIBRARY.exists(), reason="the native engine is not compiled")
@pytest.mark.usefixtures("undo_hold")
def test_the_function_of_a_held_process_makes_held_engines(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.iresnets import random_iresnet
    from tests.unit.engine.test_native import build_pack, parse_description
    from tests.unit.models.tools.test_convert import Memory

    pack, network = build_pack(16), random_iresnet()
    monkeypatch.setenv(instructions.SWITCH, "avx2")
    instructions.hold_engine()

    engine = native_swapper.NativeSwapper(parse_description(pack), Memory(pack.blobs["weights"]), 1, lean=True)
    embedder = native_embedder.NativeEmbedder(network.description, Memory(network.weights), 1)

    assert engine.name == embedder.name == "native avx2"


@pytest.mark.usefixtures("undo_hold")
def test_nothing_is_held_without_the_switch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(instructions.SWITCH, raising=False)
    before = native_swapper.NativeSwapper
    instructions.hold_engine()
    assert native_swapper.NativeSwapper is before


@pytest.fixture
def swap_json(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Replace all measurements; the path of swap.json."""
    cost = dict.fromkeys((*bench.MEASURED, "first_output_s", "time"), 0.5)
    arms = dict.fromkeys(("native, 2 threads", *bench.ARMS, *bench.COLD_ARMS), cost)
    report = {**arms, "over_naive": arms, "parity_db": 127.0, "onnxruntime_block": 8}
    lines = dict.fromkeys(bench.LINES, report)
    monkeypatch.setattr(form, "OUT", tmp_path)
    monkeypatch.setattr(bench, "FOLDER", tmp_path)
    monkeypatch.setattr(bench, "prepare", lambda *_: None)
    monkeypatch.setattr("tests.bench.engine.measure", lambda *_: report)
    monkeypatch.setattr("tests.bench.embedder.measure", lambda *_: report)
    for name in ("measure", "measure_cold"):
        monkeypatch.setattr(bench, name, lambda *_, **__: lines)
    monkeypatch.setattr(sys, "argv", ["bench", "--avx2"])
    return tmp_path / "swap.json"


def test_avx2_has_every_ratio_and_its_base(swap_json: Path) -> None:
    bench.main()
    avx2 = json.loads(swap_json.read_text())["avx2"]
    assert set(avx2) == {
        *("naive", "measured", "warm_time", "first_output_80MBps", "parity_db"),
        *("peak_resident", "peak_windowed", "swapper_peak_resident", "swapper_peak_windowed"),
        *("cold_cpu", "function_cold_time", "function_warm_time"),
    }
    assert avx2["naive"] == hold.HOW


def test_measuring_avx2_alone_leaves_the_other_ratios(swap_json: Path) -> None:
    swap_json.write_text(json.dumps({"ratios": {"warm_time": 0.42}, "avx2": {"warm_time": 9.0}}))
    bench.main()
    report = json.loads(swap_json.read_text())
    assert report["ratios"] == {"warm_time": 0.42}
    assert report["avx2"]["warm_time"] == 0.5
