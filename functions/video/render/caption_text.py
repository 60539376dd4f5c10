"""The text of a page of captions in the format ASS: each look's tags around and between the words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

from functions.video.render.caption_design import box_letters, colour_tag
from functions.video.render.typesetting import Typesetting
from functions.video.values import CaptionStyle, Word

_HIDDEN, _SHOWN = r"{\1a&HFF&\3a&HFF&}", r"{\3a&H00&}"  # letters of the layer of boxes, and the box of one word
_FLAT = r"{\ybord0}"  # a box is as high as a line, which leaves room above and below letters
_ON_BOX, _OFF_BOX = r"\bord0\shad0", r"\r"


@dataclass(frozen=True)
class Page:
    """Words shown together from `start` to `end`, in seconds of the voice."""

    lines: tuple[tuple[Word, ...], ...]
    start: float
    end: float

    @property
    def words(self) -> tuple[Word, ...]:
        """All of them, in order."""
        return tuple(word for line in self.lines for word in line)


@dataclass(frozen=True)
class Moment:
    """A word of a page while it is spoken; `sweep` is for how long, in seconds, or 0 where that began earlier."""

    page: Page
    spoken: Word
    sweep: float


def render_look(moment: Moment, style: CaptionStyle, typesetting: Typesetting, restore: str) -> str:
    """The page's text at that moment; `restore` are the tags that a page begins with."""
    plain, accent = colour_tag(style.colour), colour_tag(style.accent)
    after = _is_after(moment)

    def highlight(word: Word, text: str) -> str:
        return f"{{{accent}}}{text}{{{plain}}}" if word is moment.spoken else text

    def write_on_box(word: Word, text: str) -> str:
        if word is not moment.spoken:
            return text
        return f"{{{colour_tag(box_letters(style.accent))}{_ON_BOX}}}{text}{{{_OFF_BOX}{restore}}}"

    def sing(word: Word, text: str) -> str:
        if after(word):
            return text
        if word is not moment.spoken or moment.sweep <= 0 or typesetting.style.right_to_left:
            return f"{{{accent}}}{text}{{{plain}}}"
        # What comes after a word's sweep waits for its own, in the second colour.
        before = colour_tag(style.colour, 2)
        return f"{{{accent}{before}\\kf{round(moment.sweep * 100)}}}{text}{{\\k1000}}"

    looks = {"highlight": highlight, "boxed": write_on_box, "karaoke": sing}
    return _write(moment.page, looks.get(style.look, lambda word, text: text), typesetting)


def render_box(moment: Moment, typesetting: Typesetting) -> str:
    """The page's text with nothing to be seen of it but a box behind the spoken word."""

    def box(word: Word, text: str) -> str:
        return f"{_SHOWN}{text}{_HIDDEN}" if word is moment.spoken else text

    return _FLAT + _HIDDEN + _write(moment.page, box, typesetting)


def _is_after(moment: Moment) -> Callable[[Word], bool]:
    order = [id(word) for word in moment.page.words]
    places = {number: place for place, number in enumerate(order)}
    now = places[id(moment.spoken)]
    return lambda word: places[id(word)] > now


def _write(page: Page, tag: Callable[[Word, str], str], typesetting: Typesetting) -> str:
    """The lines, each word as `tag` has it."""
    lines = []
    for line in page.lines:
        text = typesetting.line_start
        for word, after in pairwise([*line, None]):
            assert word is not None  # only the last has nothing after it
            text += tag(word, draw(word.text, typesetting)) + gap(word, after)
        lines.append(text)
    return r"\N".join(lines)


def gap(word: Word, after: Word | None) -> str:
    """What is between two words: a blank, but not in a writing system without blanks."""
    return " " if after is not None and after.first > word.last else ""


def draw(text: str, typesetting: Typesetting) -> str:
    """The text as ASS draws it, with the family of each piece that is not in the style's."""
    drawing = ""
    for family, run in typesetting.runs(clean(text)):
        literal = _escape(run)
        other = family != typesetting.font
        drawing += rf"{{\fn{family}}}{literal}{{\fn{typesetting.font}}}" if other else literal
    return drawing


def clean(text: str) -> str:
    """The text on one line and without control characters; joiners, which some writing systems need, stay."""
    return "".join(letter for letter in " ".join(text.split()) if unicodedata.category(letter) not in ("Cc", "Cs"))


def _escape(text: str) -> str:
    """The text without tags or escapes of ASS, by a word joiner, as ffmpeg's own conversion does it."""
    return re.sub(r"[{}]", r"\\\g<0>", clean(text).replace("\\", "\\\u2060"))
