"""Captions: a few words at a time, the spoken one highlighted, inside the area that the apps leave free.

The formats are ASS as libass reads it (the file format's page of the Aegisub manual), SubRip, and WebVTT (W3C).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from itertools import pairwise
from pathlib import Path

from functions.video.values import FPS, HEIGHT, WIDTH, Word

FONT = "Roboto Black"
_FONT_SIZE = 92  # pixels as ASS counts them: from the font's highest ascent to its lowest descent
_EM = _FONT_SIZE * 2048 / 2701  # pixels, by Roboto's OS/2 table
# TikTok, Reels and Shorts cover about the lower fifth and, beside it, a strip for their buttons on the right.
_CENTRE = (WIDTH // 2, round(0.66 * HEIGHT))
_LINE_WIDTH = (WIDTH - 2 * 64) / _EM  # in ems
_FILE_LINE_WIDTH = 20.0  # ems, in a caption file: about 37 letters, as broadcasters have it
_LINES = 2  # on a page
_BADGE = (40, 150, 74, 46, 11)  # x, y, width, height and radius in pixels
_PAUSE = 0.7  # seconds of silence after which a page does not go on
_LINGER = 0.35  # seconds that the last page before a pause stays

_HEAD = f"""[Script Info]
ScriptType: v4.00+
PlayResX: {WIDTH}
PlayResY: {HEIGHT}
WrapStyle: 2
ScaledBorderAndShadow: yes
YCbCr Matrix: TV.709

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Words,{FONT},{_FONT_SIZE},&H00FFFFFF,&H00FFFFFF,&H00101010,&H78000000,0,0,0,0,100,100,0,0,1,6,3,5,0,0,0,-1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_SPOKEN = r"{\1c&H2BDDFF&}"  # a warm yellow; colours are blue, green, red
_PLAIN = r"{\1c&HFFFFFF&}"
_POP = r"\fscx88\fscy88\t(0,90,\fscx100\fscy100)"  # a page appears with a small bounce


@dataclass(frozen=True)
class Page:
    """Words shown together from `start` to `end`, in seconds of the voice."""

    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float


def fonts() -> Path:
    """The folder of the captions' font files."""
    import font_roboto

    return Path(font_roboto.__file__).parent / "files"


@cache
def font_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file in a folder of fonts, by its name."""
    digests = {}
    for path in sorted(folder.iterdir()):
        with path.open("rb") as file:
            digests[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    return digests


def lay_out_pages(words: Sequence[Word], line_width: float = _LINE_WIDTH) -> list[Page]:
    """The words on pages of at most two lines of about `line_width` ems; no page goes on after a sentence's end."""
    layout = [lines for passage in _passages(words) for lines in _split(passage, line_width)]
    pages = []
    for number, lines in enumerate(layout):
        start, last = lines[0][0].start, lines[-1][-1].end
        following = layout[number + 1][0][0].start if number + 1 < len(layout) else float("inf")
        pages.append(Page(lines, start, following if following - last < _PAUSE else last + _LINGER))
    return pages


def render_ass(words: Sequence[Word], first_frame: int, frames: int, badge: bool = False) -> str:
    """The captions, as ASS, of the clip that shows these frames of the video; its first frame is at 0.

    With `badge` a small plate with the letters AI is in every frame, below what the apps lay over the top.
    """
    mark = _badge(frames / FPS) if badge else ""
    return _HEAD + mark + "".join(_events(words, first_frame / FPS, frames / FPS))


def render_srt(words: Sequence[Word]) -> str:
    """All captions as a SubRip file."""
    cues = (
        f"{number}\n{_timestamp(page.start, ',')} --> {_timestamp(page.end, ',')}\n{_page_text(page)}\n"
        for number, page in enumerate(lay_out_pages(words, _FILE_LINE_WIDTH), 1)
    )
    return "\n".join(cues)


def render_vtt(words: Sequence[Word]) -> str:
    """All captions as a WebVTT file."""
    cues = (
        f"{_timestamp(page.start, '.')} --> {_timestamp(page.end, '.')}\n{escape(_page_text(page), quote=False)}\n"
        for page in lay_out_pages(words, _FILE_LINE_WIDTH)
    )
    return "\n".join(["WEBVTT\n", *cues])


def _badge(seconds: float) -> str:
    """A dark, translucent plate with round corners, and the letters on it, as ASS events."""
    x, y, width, height, radius = _BADGE
    right, bottom = width - radius, height - radius
    plate = (
        f"m {radius} 0 l {right} 0 b {width} 0 {width} 0 {width} {radius} l {width} {bottom} "
        f"b {width} {height} {width} {height} {right} {height} l {radius} {height} b 0 {height} 0 {height} 0 {bottom} "
        f"l 0 {radius} b 0 0 0 0 {radius} 0"
    )
    middle = f"{x + width // 2},{y + height // 2}"
    event = f"Dialogue: 1,{_centiseconds(0)},{_centiseconds(seconds)},Words,,0,0,0,,"
    return (
        f"{event}{{\\an7\\pos({x},{y})\\bord0\\shad0\\1c&H101010&\\1a&H66&\\p1}}{plate}\n"
        f"{event}{{\\an5\\pos({middle})\\bord0\\shad0\\fs{round(0.95 * height)}}}AI\n"
    )


def _passages(words: Sequence[Word]) -> Iterator[list[Word]]:
    """Runs of words with neither the end of a sentence nor a pause in them."""
    passage: list[Word] = []
    for word, after in pairwise([*words, None]):
        assert word is not None  # only the last has nothing after it
        passage.append(word)
        if after is None or word.ends_sentence or after.start - word.end >= _PAUSE:
            yield passage
            passage = []


def _split(passage: Sequence[Word], line_width: float) -> list[tuple[tuple[Word, ...], ...]]:
    """Pages for a passage: as few as possible, about equally full, ended at commas where that costs little."""
    best: list[tuple[float, list[tuple[tuple[Word, ...], ...]]]] = [(0.0, [])]
    for end in range(1, len(passage) + 1):
        options = []
        for begin in range(end - 1, -1, -1):
            lines = _lines(passage[begin:end], line_width)
            if lines is None:
                break
            room = 1 - _width(passage[begin:end]) / (_LINES * line_width)
            clause = end == len(passage) or passage[end - 1].text[-1:] in ",;:—–"  # noqa: RUF001 - a dash is meant
            cost = best[begin][0] + 1.0 + max(0.0, room) ** 2 + (0.0 if clause else 0.3)
            options.append((cost, [*best[begin][1], lines]))
        best.append(min(options, key=lambda option: option[0]))
    return best[-1][1]


def _lines(words: Sequence[Word], line_width: float) -> tuple[tuple[Word, ...], ...] | None:
    """The words on one line, or on two of about equal length; None where they do not fit. A single word always fits."""
    if len(words) == 1 or _width(words) <= line_width:
        return (tuple(words),)
    at = min(range(1, len(words)), key=lambda cut: max(_width(words[:cut]), _width(words[cut:])))
    if max(_width(words[:at]), _width(words[at:])) > line_width:
        return None
    return tuple(words[:at]), tuple(words[at:])


def _width(words: Sequence[Word]) -> float:
    """The approximate width of a line, in ems of a heavy sans-serif typeface."""
    return sum(_letter_width(letter) for letter in _line_text(words))


def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter) or unicodedata.category(letter) == "Cf":
        return 0.0
    if unicodedata.east_asian_width(letter) in "WF":
        return 1.0
    if letter in " .,:;'!|()[]ijl":
        return 0.28
    if letter in "frtI-":
        return 0.37
    if letter in "mwMW@%":
        return 0.87
    return 0.65 if letter.isupper() or letter.isdigit() else 0.56


def _line_text(words: Sequence[Word]) -> str:
    """The words as in the script: with blanks between them, but not in a writing system without blanks."""
    return "".join(_clean(word.text) + _gap(word, after) for word, after in pairwise([*words, None]) if word)


def _gap(word: Word, after: Word | None) -> str:
    return " " if after is not None and after.first > word.last else ""


def _page_text(page: Page) -> str:
    return "\n".join(_line_text(line) for line in page.lines)


def _events(words: Sequence[Word], begin: float, seconds: float) -> Iterator[str]:
    """One event for each word: its whole page, with this word highlighted, until the next word is spoken."""
    for page in lay_out_pages(words):
        order = [word for line in page.lines for word in line]
        starts = [*(word.start for word in order), page.end]
        widest = max(_width(line) for line in page.lines)
        font_size = rf"\fs{int(_FONT_SIZE * _LINE_WIDTH / widest)}" if widest > _LINE_WIDTH else ""
        for number, (start, end) in enumerate(pairwise(starts)):
            start, end = start - begin, min(end - begin, seconds)
            if end <= 0 or start >= seconds:
                continue
            pop = _POP if number == 0 and start >= 0 else ""
            style = rf"{{\an5\pos({_CENTRE[0]},{_CENTRE[1]}){font_size}{pop}}}"
            first, last = _centiseconds(max(0.0, start)), _centiseconds(end)
            if first != last:
                yield f"Dialogue: 0,{first},{last},Words,,0,0,0,,{style}{_highlight(page, order[number])}\n"


def _highlight(page: Page, spoken: Word) -> str:
    """The page's text with tags around the spoken word."""
    lines = []
    for line in page.lines:
        text = ""
        for word, after in pairwise([*line, None]):
            assert word is not None  # only the last has nothing after it
            literal = _escape(word.text)
            text += (f"{_SPOKEN}{literal}{_PLAIN}" if word is spoken else literal) + _gap(word, after)
        lines.append(text)
    return r"\N".join(lines)


def _clean(text: str) -> str:
    """The text on one line and without control characters; joiners, which some writing systems need, stay."""
    return "".join(letter for letter in " ".join(text.split()) if unicodedata.category(letter) not in ("Cc", "Cs"))


def _escape(text: str) -> str:
    """The text without tags or escapes of ASS, by a word joiner, as ffmpeg's own conversion does it."""
    return re.sub(r"[{}]", r"\\\g<0>", _clean(text).replace("\\", "\\\u2060"))


def _centiseconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 100), 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"


def _timestamp(seconds: float, point: str) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
