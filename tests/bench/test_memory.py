"""The memory table: its claims at true size, and its plot."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image, ImageColor

from tests.bench import memory_plot
from tests.bench.memory import ARMS, DEFAULT, FOLDER, MEASURED, measure, prepare


def _row(name: str, peak: float, resident: float) -> dict[str, object]:
    return {"name": name, "fullsize": True, "peak_mb": peak, "resident_mb": resident, "cold_s": 1.0, "warm_s": 1.0}


def test_bars_are_as_long_as_what_they_stand_for(tmp_path: Path) -> None:
    path = tmp_path / "memory.png"
    memory_plot.plot([_row("naive/a", 2000, 1500), _row("ours/b", 500, 200), _row(DEFAULT, 600, 600)], path)
    with Image.open(path) as image:
        pixels = image.convert("RGB")
    for number, (name, peak, resident) in enumerate((("naive", 2000, 1500), ("ours", 500, 200), ("default", 600, 600))):
        y = memory_plot.HEAD + memory_plot.ROW * number + 8
        row = [pixels.getpixel((x, y)) for x in range(pixels.width)]
        light, dark = (row.count(ImageColor.getrgb(colour)) for colour in memory_plot.COLOURS[name])
        assert dark == pytest.approx(resident / 2000 * memory_plot.BARS, abs=2)
        assert dark + light == pytest.approx(peak / 2000 * memory_plot.BARS, abs=2)


@pytest.mark.full
def test_ours_needs_a_fraction_of_what_the_field_s_servers_need() -> None:
    names = ("naive/five + fp16", "naive/fp16", "ours/new face", "ours/latent known, request")
    prepare(FOLDER)
    report = measure(1, {name: ARMS[name] for name in names})
    rows = {row["name"]: row for row in report["rows"]}
    assert set(rows) == {*names, DEFAULT}
    assert all(row["fullsize"] and all(row[key] > 0 for key in MEASURED) for row in rows.values())
    assert rows["naive/five + fp16"]["peak_mb"] > rows["naive/fp16"]["peak_mb"] > 1200
    assert rows["ours/new face"]["peak_mb"] < 0.4 * rows["naive/fp16"]["peak_mb"]
    assert rows[DEFAULT]["peak_mb"] < 0.4 * rows["naive/fp16"]["peak_mb"]
    assert rows["ours/latent known, request"]["resident_mb"] < 256
