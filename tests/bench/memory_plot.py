"""The memory table as a picture: a light bar for the peak, a dark one for what stays between requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

LABELS, BARS, NUMBERS = 260, 640, 70  # pixels, from left to right
ROW, MARGIN, HEAD = 34, 24, 76
TICK_MB = 250
INK, FAINT, PAPER = "#1c1e21", "#c9ced6", "#ffffff"
# Light for the peak, dark for what stays.
COLOURS = {"naive": ("#f0b7a4", "#c8553d"), "ours": ("#a9cfe8", "#2a6f97"), "default": ("#b5dcc0", "#2d7d46")}


def plot(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the rows of memory.json as a PNG."""
    height = HEAD + ROW * len(rows) + MARGIN
    image = Image.new("RGB", (LABELS + BARS + NUMBERS + 2 * MARGIN, height), PAPER)
    draw = ImageDraw.Draw(image)
    large, small = ImageFont.load_default(20), ImageFont.load_default(15)
    draw.text((MARGIN, 16), "Memory of a swap at true size, MB: the peak, and (dark) what stays", INK, large)
    scale = BARS / max(row["peak_mb"] for row in rows)
    left = MARGIN + LABELS
    for tick in range(0, int(BARS / scale) + 1, TICK_MB):
        x = left + tick * scale
        draw.line((x, HEAD - 6, x, height - MARGIN), FAINT)
        draw.text((x, HEAD - 10), str(tick), INK, small, anchor="mb")
    for number, row in enumerate(rows):
        top = HEAD + ROW * number
        light, dark = COLOURS[row["name"].partition("/")[0]]
        end = left + row["peak_mb"] * scale
        draw.text((left - 12, top + ROW // 2), row["name"], INK, small, anchor="rm")
        draw.rectangle((left, top + 6, end, top + ROW - 6), light)
        draw.rectangle((left, top + 6, left + row["resident_mb"] * scale, top + ROW - 6), dark)
        draw.text((end + 8, top + ROW // 2), f"{row['peak_mb']:.0f}", INK, small, anchor="lm")
    image.save(path)
