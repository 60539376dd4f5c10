"""The demo's summary and table of its runs, and its messages about pictures that it cannot use."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
from PIL import Image

from local import demo
from local.contact_sheet import Card, draw_contact_sheet
from local.demo_pack import NAME
from local.swap_clients import SwapResponse


def response(seconds: float, cold: bool, peak: float) -> SwapResponse:
    result = {
        "faces": [{"swapped": True}, {"swapped": True}],
        "cold_start": cold,
        "timings_ms": {"detect": 40.0, "swap": 130.0, "fetch": 1.0, "paste": 9.0, "encode": 7.0},
        "peak_memory_mb": peak,
    }
    return SwapResponse(result, b"", seconds)


@pytest.fixture
def run() -> demo.Run:
    cold, warm = response(2.5, True, 190.5), response(0.25, False, 180.0)
    return demo.Run("ruby", "friday", cold, warm, cos_source=0.7, cos_target=0.1)


def test_a_run_in_numbers(run: demo.Run) -> None:
    assert demo.summary(run) == {
        "ok": True,
        "cos_source": 0.7,
        "cos_target": 0.1,
        "cold_ms": 2500.0,
        "warm_ms": 250.0,
        "peak_mb": 190.5,
        "problems": [],
    }


def test_a_run_that_failed_in_numbers() -> None:
    failed = demo.Run("ruby", "friday", problems=["The models are not published (models_missing)"])

    summary = demo.summary(failed)

    assert not summary["ok"]
    assert summary["cold_ms"] is summary["warm_ms"] is summary["peak_mb"] is summary["cos_source"] is None


def test_the_table_has_a_line_for_each_call(run: demo.Run) -> None:
    header, cold, warm = demo.table({"http": run}).splitlines()

    assert header.split() == ["caller", "swap", "faces", "start", "ms", "slowest", "phases", "(ms)", "peak", "MB"]
    assert "ruby into friday" in cold
    assert "cold   2500" in cold
    assert "warm   250 " in warm
    assert "swap 130, detect 40, paste 9, encode 7" in warm
    assert "fetch" not in warm


def test_a_picture_that_is_not_there_is_told_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = demo.main(["--face", str(tmp_path / "nobody.png")])

    assert status == 2
    assert "There is no picture at" in capsys.readouterr().err


def test_a_photograph_is_told_to_need_models_for_photographs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph = tmp_path / "me.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(photograph)
    monkeypatch.setattr(demo, "Cloud", MagicMock())
    monkeypatch.setattr(demo, "publish_demo_pack", lambda _: NAME)

    status = demo.main(["--face", str(photograph), "--meme", str(photograph)])

    assert status == 1
    message = capsys.readouterr().err
    assert "me.png looks like a photograph." in message
    assert "make models LOCAL=1 ACCEPT=1" in message


def test_the_sheet_shows_face_meme_and_result(tmp_path: Path) -> None:
    colours = {"face": (255, 0, 0), "meme": (0, 255, 0), "result": (0, 0, 255)}
    for name, colour in colours.items():
        Image.new("RGB", (640, 480), colour).save(tmp_path / f"{name}.png")
    card = Card(tmp_path / "face.png", tmp_path / "meme.png", tmp_path / "result.png", "a title", "a note")

    image = draw_contact_sheet([card] * 3)

    counts = {colour: count for count, colour in image.getcolors(1 << 20) or []}
    assert all(counts[colour] > 3 * 10_000 for colour in colours.values())
    assert image.width > image.height
