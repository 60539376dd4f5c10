"""cold.json as a picture: a waterfall of each cold swap, and the bare download above it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from tests.bench.memory_plot import FAINT, INK, MARGIN, PAPER
from tests.bench.timeline import OF_FACE

LABELS, BARS, NOTES = 230, 760, 190  # pixels, from left to right
ROW, HEAD, GAP = 24, 84, 56
TICK_S = 0.5
BARE, IMPORTS, LINE, WORK, WAIT = "#9aa3ad", "#b8863b", "#2a6f97", "#2d7d46", "#dfe6ec"
TITLES = {
    "80_MB_per_s": "at a steady 80 MB/s",
    "lambda": "on Lambda's line: 300 MB at full speed, then 80 MB/s",
}
FACES = {"new": "A new face", "default": "The stack's default face"}
LEGEND = ((IMPORTS, "starting and importing"), (LINE, "downloading"), (WORK, "working"), (BARE, "the bare download"))
# What the rows are, with the names of the spans that they show; the first of each name is the meme's.
WORK_ROWS = (
    ("look up the pack", ("pack",)),
    ("import boto3, make its client", ("client",)),
    ("read the pictures", ("read", "read" + OF_FACE)),
    ("decode the meme", ("decode",)),
    ("find its faces", ("detect",)),
    ("decode the face", ("decode" + OF_FACE,)),
    ("find the face in it", ("detect" + OF_FACE,)),
    ("embed it, as weights arrive", ("embed" + OF_FACE,)),
    ("swap, as weights arrive", ("swap",)),
    ("paste", ("paste",)),
    ("encode and label", ("encode", "label")),
    ("write the picture", ("write",)),
)

Bars = Sequence[tuple[float, float]]  # begin and end, seconds
Rows = list[tuple[str, str, Bars, str]]  # label, colour, bars, note


def list_rows(one: Mapping[str, Any]) -> Rows:
    """The rows of one cold swap, in the order in which they begin."""
    imports = [(begin, end) for _, begin, end in one["imports"] if begin >= one["python_s"]]
    before = one["imports_before_ms"]["all"] + one["imports_after_ms"]["all"]
    rows: Rows = [
        ("start Python", IMPORTS, [(0.0, one["python_s"])], f"{one['python_s'] * 1000:.0f} ms"),
        ("import modules", IMPORTS, imports, f"{before:.0f} ms, in all threads"),
    ]
    for each in one["downloads"]:
        if each["bytes"] > 2e6:
            size = each["bytes"] / 1e6
            label = f"fetch the {each['model']}, {size:.0f} MB"
            rows.append((label, LINE, [(each["asked"], each["ended"])], f"{each['mb_per_s']:.0f} MB/s"))
    spans: dict[str, list[tuple[float, float]]] = {}
    for name, begin, end in one["spans"]:
        spans.setdefault(name, []).append((begin, end))
    for label, names in WORK_ROWS:
        bars = [span for name in names for span in spans.get(name, [])]
        if bars:
            longest = sum(end - begin for begin, end in bars) if names[0] != "read" else max(b - a for a, b in bars)
            rows.append((label, WORK, bars, f"{longest * 1000:.0f} ms"))
    head, rest = rows[:2], sorted(rows[2:], key=lambda row: min(begin for begin, _ in row[2]))
    return head + rest


class _Chart:
    """One waterfall on the picture, whose seconds begin at `left`."""

    def __init__(self, draw: ImageDraw.ImageDraw, top: int, one: Mapping[str, Any], seconds: float) -> None:
        self.draw = draw
        self.top = top
        self.one = one
        self.left = MARGIN + LABELS
        self.scale = BARS / seconds
        self.seconds = seconds
        self.large, self.small = ImageFont.load_default(19), ImageFont.load_default(14)

    def x(self, seconds: float) -> float:
        """Where a moment is."""
        return self.left + seconds * self.scale

    def plot(self, title: str, rows: Rows) -> int:
        """Draw it; where the next one may begin."""
        one, draw = self.one, self.draw
        draw.text((MARGIN, self.top), title, INK, self.large)
        summary = (
            f"The picture is there after {one['picture_s']:.2f} s, {one['ratio']:.2f} times its bare download "
            f"({one['bare_s']:.2f} s). The first byte of weights is asked for after "
            f"{one['first_byte_asked_s'] * 1000:.0f} ms. CPU: {one['cpu_s']:.2f} s."
        )
        draw.text((MARGIN, self.top + 28), summary, INK, self.small)
        top, bottom = self.top + HEAD, self.top + HEAD + ROW * (len(rows) + 1)
        ticks = int(self.seconds / TICK_S)
        for tick in range(ticks + 1):
            x = self.x(tick * TICK_S)
            draw.line((x, top - 4, x, bottom), FAINT)
            draw.text((x, top - 6), f"{tick * TICK_S:g} s", INK, self.small, anchor="mb")
        bare: Rows = [("the bare download alone", BARE, [(0.0, one["bare_s"])], f"{one['bare_s']:.2f} s")]
        for number, (label, colour, bars, note) in enumerate(bare + rows):
            self._plot_row(top + number * ROW, label, colour, bars, note)
        limit, asked = self.x(1.2 * one["bare_s"]), self.x(one["first_byte_asked_s"])
        draw.line((asked, top, asked, bottom), LINE)
        if limit < self.left + BARS:
            draw.line((limit, top, limit, bottom), "#c8553d")
            draw.text((limit, bottom + 20), "1.2 times the bare download", "#c8553d", self.small, anchor="lt")
        draw.text((asked, bottom + 4), "the first byte of weights is asked for", LINE, self.small, anchor="lt")
        return bottom + GAP

    def _plot_row(self, top: int, label: str, colour: str, bars: Bars, note: str) -> None:
        draw, middle = self.draw, top + ROW // 2
        draw.text((self.left - 12, middle), label, INK, self.small, anchor="rm")
        for begin, end in bars:
            draw.rectangle((self.x(begin), top + 4, max(self.x(end), self.x(begin) + 1), top + ROW - 4), colour)
        draw.text((self.x(max(end for _, end in bars)) + 8, middle), note, INK, self.small, anchor="lm")


def plot(report: Mapping[str, Any], path: Path) -> None:
    """Draw cold.json as a PNG."""
    charts = [
        (f"{FACES[face]} {TITLES[line]}", report[line][face], list_rows(report[line][face]))
        for line in TITLES
        for face in FACES
    ]
    height = 2 * MARGIN + 34 + sum(HEAD + ROW * (len(rows) + 1) + GAP for _, _, rows in charts)
    image = Image.new("RGB", (LABELS + BARS + NOTES + 2 * MARGIN, height), PAPER)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    left = float(MARGIN)
    for colour, meaning in LEGEND:
        draw.rectangle((left, MARGIN - 6, left + 14, MARGIN + 8), colour)
        draw.text((left + 22, MARGIN + 1), meaning, INK, font, anchor="lm")
        left += 50 + draw.textlength(meaning, font)
    top = MARGIN + 34
    for title, one, rows in charts:
        top = _Chart(draw, top, one, 1.02 * max(one["picture_s"], one["bare_s"])).plot(title, rows)
    image.save(path)
