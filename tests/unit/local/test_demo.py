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
from local.frame_strip import draw_frame_strip
from local.moving_demo import MovingSwap
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


def test_frames_stand_in_a_strip_from_left_to_right(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (80, 40), (40 * number, 0, 200)) for number in range(6)]
    frames[0].save(tmp_path / "meme.gif", save_all=True, append_images=frames[1:], duration=70)

    strip = draw_frame_strip(tmp_path / "meme.gif", columns=2, width=40)

    assert strip.size == (80, 40)
    reds = [strip.getpixel(place) for place in ((20, 10), (60, 10), (20, 30))]
    assert [color[0] for color in reds if isinstance(color, tuple)] == pytest.approx([0, 80, 160], abs=12)


def test_the_strip_is_below_all_cards(tmp_path: Path) -> None:
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "picture.png")
    picture = tmp_path / "picture.png"
    card = Card(picture, picture, picture, "a title", "a note")
    strip = Image.new("RGB", (100, 50), (0, 0, 255))

    plain, sheet = draw_contact_sheet([card]), draw_contact_sheet([card], strip)

    assert sheet.width == plain.width
    assert sheet.crop((0, 0, *plain.size)).tobytes() == plain.tobytes()
    below = sheet.crop((0, plain.height, *sheet.size))
    counts = {color: count for count, color in below.getcolors(1 << 20) or []}
    assert counts[0, 0, 255] > 0.8 * below.width * below.height


def test_a_moving_swap_in_numbers() -> None:
    swap = MovingSwap(Path("out/moving.gif"), frames=40, face_frames=74, took_s=12.34)

    assert swap.report() == {"frames": 40, "face_frames": 74, "took_s": 12.3, "problem": None}
    assert swap.describe() == "moving.gif: 40 frames, 74 faces in them, made in 12.3 s"


def test_the_sheet_shows_face_meme_and_result(tmp_path: Path) -> None:
    colours = {"face": (255, 0, 0), "meme": (0, 255, 0), "result": (0, 0, 255)}
    for name, colour in colours.items():
        Image.new("RGB", (640, 480), colour).save(tmp_path / f"{name}.png")
    card = Card(tmp_path / "face.png", tmp_path / "meme.png", tmp_path / "result.png", "a title", "a note")

    image = draw_contact_sheet([card] * 3)

    counts = {colour: count for count, colour in image.getcolors(1 << 20) or []}
    assert all(counts[colour] > 3 * 10_000 for colour in colours.values())
    assert image.width > image.height
