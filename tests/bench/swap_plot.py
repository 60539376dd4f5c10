"""The swap benchmark as a picture: naive against ours, cold and warm, by line and by MemorySize."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.bench.memory_plot import FAINT, INK, MARGIN, PAPER

LABELS, BARS, NUMBERS = 250, 560, 90  # pixels, from left to right
ROW, HEAD, GAP = 26, 44, 22
NAMES = {
    "naive": "naive",
    "ours": "ours, new face",
    "ours_default_face": "ours, default face",
    "ours_windowed": "ours, in a window",
    "bare": "bare download",
    "staged": "onnxruntime in stages",
    "native": "native",
    "windowed": "native, in a window",
}
COLOURS = {"naive": "#c8553d", "bare": "#9aa3ad"}
OURS = "#2a6f97"

Rows = list[tuple[str, str, float | None]]  # label, arm, value; None where it did not end


def charts(report: Mapping[str, Any]) -> dict[str, Rows]:
    """Rows of each chart by its title."""
    cold = report["cold"]
    charts_by_title: dict[str, Rows] = {}
    for line, title in {"80_MB_per_s": "at a steady 80 MB/s", "lambda": "300 MB at once, then 80 MB/s"}.items():
        arms = {arm: cost for arm, cost in cold[line].items() if arm != "over_naive"}
        rows: Rows = [(NAMES[arm], arm, cost["first_output_s"]) for arm, cost in arms.items()]
        charts_by_title[f"Swapper: seconds to the first output, {title}"] = rows
    function = {arm: cost for arm, cost in report["function"]["full_speed"].items() if arm != "over_naive"}
    peaks: Rows = [(NAMES[arm], arm, cost["peak_mb"]) for arm, cost in function.items()]
    charts_by_title["Function: peak memory of a cold swap, MB"] = peaks
    if "left_out" not in report["sizes"]:
        for what, title in {"cold_s": "cold", "warm_s": "warm"}.items():
            charts_by_title[f"Function: {title} seconds by MemorySize"] = [
                (f"{size} MB, {NAMES[arm]}", arm, cost.get(what))
                for size, arms in report["sizes"].items()
                for arm, cost in arms.items()
            ]
    return charts_by_title


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw swap.json as a PNG."""
    charts_by_title = charts(report)
    height = MARGIN + sum(HEAD + ROW * len(rows) + GAP for rows in charts_by_title.values())
    image = Image.new("RGB", (LABELS + BARS + NUMBERS + 2 * MARGIN, height), PAPER)
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(19), ImageFont.load_default(14)
    left, top = MARGIN + LABELS, MARGIN
    for title, rows in charts_by_title.items():
        draw.text((MARGIN, top), title, INK, large)
        top += HEAD
        draw.line((left, top - 6, left, top + ROW * len(rows)), FAINT)
        scale = BARS / max(value or 0 for _, _, value in rows)
        for label, arm, value in rows:
            draw.text((left - 12, top + ROW // 2), label, INK, small, anchor="rm")
            end = left + (value or 0) * scale
            draw.rectangle((left, top + 4, end, top + ROW - 4), COLOURS.get(arm, OURS))
            text = "out of memory" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.2f}"
            draw.text((end + 8, top + ROW // 2), text, INK, small, anchor="lm")
            top += ROW
        top += GAP
    image.save(path)
