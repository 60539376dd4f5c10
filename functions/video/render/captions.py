"""Captions: a few words at a time on pages, and all of them as files in SubRip and WebVTT (W3C)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise

from functions.video.render.caption_design import USUAL_DESIGN
from functions.video.render.caption_text import Page, clean, gap
from functions.video.render.long_words import SMALLEST_SCALE, fit_words
from functions.video.render.scripts import letter_width
from functions.video.values import FPS, Word

_LINE_WIDTH = USUAL_DESIGN.line_width
_FILE_LINE_WIDTH = 20.0  # ems, in a caption file: about 37 letters, as broadcasters have it
_LINES = 2  # on a page
_PAUSE = 0.7  # seconds of silence after which a page does not go on
_LINGER = 0.35  # seconds that the last page before a pause stays
_FRAME = 1 / FPS  # seconds by which a cut, which is between two frames, may miss the end of a word
_TORN = 5.0  # cost of a page that ends between an abbreviation, an initial or a number and what follows
_LIST_NUMBER = re.compile(r"\(?\w{1,3}\)")


def fit_lines(
    words: Sequence[Word], line_width: float = _LINE_WIDTH, smallest_scale: float = SMALLEST_SCALE
) -> list[Word]:
    """The words as they are shown: one that would have to be set smaller than `smallest_scale` to fit is broken."""
    return fit_words(words, line_width, smallest_scale, _text_width)


def lay_out_pages(
    words: Sequence[Word],
    line_width: float = _LINE_WIDTH,
    scene_ends: Sequence[float] = (),
    smallest_scale: float = SMALLEST_SCALE,
) -> list[Page]:
    """The words on pages of at most two lines of about `line_width` ems; no page goes on after a sentence's end.

    `scene_ends` are the seconds at which other footage follows, and at which the video ends: no page outlasts the scene
    in which its last word is spoken.
    """
    words = fit_lines(words, line_width, smallest_scale)
    layout = [lines for passage in _passages(words, scene_ends) for lines in _split(passage, line_width)]
    starts = [*(_page_start(lines[0][0].start, scene_ends) for lines in layout), float("inf")]
    pages = []
    for lines, (start, following) in zip(layout, pairwise(starts), strict=True):
        last = lines[-1][-1].end
        end = following if following - last < _PAUSE else last + _LINGER
        scene_end = min((each for each in scene_ends if each > start and each >= last - _FRAME), default=end)
        pages.append(Page(lines, start, min(end, scene_end)))
    return pages


def _page_start(start: float, scene_ends: Sequence[float]) -> float:
    """The start of a page whose first word is spoken then: not in the last frame of the scene before."""
    return next((each for each in scene_ends if start < each <= start + _FRAME), start)


def render_srt(words: Sequence[Word], scene_ends: Sequence[float] = ()) -> str:
    """All captions as a SubRip file."""
    cues = (
        f"{number}\n{_timestamp(page.start, ',')} --> {_timestamp(page.end, ',')}\n{_page_text(page)}\n"
        for number, page in enumerate(lay_out_pages(words, _FILE_LINE_WIDTH, scene_ends, 1.0), 1)
    )
    return "\n".join(cues)


def render_vtt(words: Sequence[Word], scene_ends: Sequence[float] = ()) -> str:
    """All captions as a WebVTT file."""
    cues = (
        f"{_timestamp(page.start, '.')} --> {_timestamp(page.end, '.')}\n{escape(_page_text(page), quote=False)}\n"
        for page in lay_out_pages(words, _FILE_LINE_WIDTH, scene_ends, 1.0)
    )
    return "\n".join(["WEBVTT\n", *cues])


def _passages(words: Sequence[Word], scene_ends: Sequence[float]) -> Iterator[list[Word]]:
    """Runs of words with neither the end of a sentence, nor a pause, nor a cut of the footage in them."""
    passage: list[Word] = []
    for word, after in pairwise([*words, None]):
        assert word is not None  # only the last has nothing after it
        passage.append(word)
        if after is None or word.ends_sentence or after.start - word.end >= _PAUSE or _is_cut(word, after, scene_ends):
            yield passage
            passage = []


def _is_cut(word: Word, after: Word, scene_ends: Sequence[float]) -> bool:
    return any(word.end - _FRAME <= each <= after.start + _FRAME for each in scene_ends)


def _is_torn(words: Sequence[Word], end: int) -> bool:
    """Whether a line or page that ends before that word would part what belongs together: an initial and a name, an
    abbreviation or a number and what it is of."""
    text = words[end - 1].text
    is_short = (text.endswith(".") and not text.endswith("..")) or _LIST_NUMBER.fullmatch(text)
    return end < len(words) and bool(is_short)


def _split(passage: Sequence[Word], line_width: float) -> list[tuple[tuple[Word, ...], ...]]:
    """Pages for a passage: as few as possible, about equally full, ended at commas where that costs little."""
    best: list[tuple[float, list[tuple[tuple[Word, ...], ...]]]] = [(0.0, [])]
    for end in range(1, len(passage) + 1):
        options = []
        for begin in range(end - 1, -1, -1):
            lines = _lines(passage[begin:end], line_width)
            if lines is None:
                break
            room = 1 - measure(passage[begin:end]) / (_LINES * line_width)
            clause = end == len(passage) or passage[end - 1].text[-1:] in ",;:—–"  # noqa: RUF001 - a dash is meant
            cost = best[begin][0] + 1.0 + max(0.0, room) ** 2 + (0.0 if clause else 0.3)
            cost += _TORN if _is_torn(passage, end) else 0.0
            options.append((cost, [*best[begin][1], lines]))
        best.append(min(options, key=lambda option: option[0]))
    return best[-1][1]


def _lines(words: Sequence[Word], line_width: float) -> tuple[tuple[Word, ...], ...] | None:
    """The words on one line, or on two of about equal length; None where they do not fit. A single word always fits."""
    if len(words) == 1 or measure(words) <= line_width:
        return (tuple(words),)
    options = {cut: max(measure(words[:cut]), measure(words[cut:])) for cut in range(1, len(words))}
    fitting = [cut for cut, widest in options.items() if widest <= line_width]
    if not fitting:
        return None
    at = min(fitting, key=lambda cut: (_is_torn(words, cut), options[cut]))
    return tuple(words[:at]), tuple(words[at:])


def measure(words: Sequence[Word]) -> float:
    """The approximate width of a line, in ems of a heavy sans-serif typeface."""
    return _text_width(_line_text(words))


def _text_width(text: str) -> float:
    return sum(_letter_width(letter) for letter in text)


def _letter_width(letter: str) -> float:
    width = letter_width(letter)
    if width is not None:
        return width
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
    return "".join(clean(word.text) + gap(word, after) for word, after in pairwise([*words, None]) if word)


def _page_text(page: Page) -> str:
    return "\n".join(_line_text(line) for line in page.lines)


def _timestamp(seconds: float, point: str) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
