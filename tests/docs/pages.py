"""Markdown as these tests read it: tables, headings, code and links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("README", "CONTRIBUTING", "SECURITY", "examples/README")
PAGES = sorted([*ROOT.glob("docs/*.md"), *(ROOT / f"{name}.md" for name in OTHERS)])

Row = list[str]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(path: Path) -> str:
    """The page's text."""
    return path.read_text(encoding="utf-8")


def sections(text: str, level: int) -> dict[str, str]:
    """Headings of this level, and what stands below each up to the next of this level or above."""
    parts = re.split(rf"^(#{{1,{level}}}) (.+)$", _FENCED.sub("", text), flags=re.MULTILINE)[1:]
    triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {title: body for marks, title, body in triples if len(marks) == level}


def tables(text: str) -> list[list[Row]]:
    """The cells of every table, its header first and without the line of dashes."""
    blocks = re.findall(r"(?:^\|.*\|\n?)+", text, re.MULTILINE)
    rows = [[_cells(line) for line in block.splitlines()] for block in blocks]
    return [[table[0], *table[2:]] for table in rows]


def table(text: str, *header: str) -> list[Row]:
    """The rows of all tables whose header begins so."""
    return [row for each in tables(text) if tuple(each[0][: len(header)]) == header for row in each[1:]]


def code_names(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def code(text: str) -> list[str]:
    """Everything that is set as code: lines of fenced blocks, and what stands in backticks outside of them."""
    lines = [line for _, block in _FENCED.findall(text) for line in block.splitlines()]
    return [*lines, *code_names(_FENCED.sub("", text))]


def shell_blocks(text: str) -> list[str]:
    """The blocks of lines for a shell."""
    return [block for language, block in _FENCED.findall(text) if language == "sh"]


def anchors(text: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", _FENCED.sub("", text), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def links(text: str) -> list[str]:
    """The targets of all links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", _FENCED.sub("", text))


def _cells(line: str) -> Row:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
