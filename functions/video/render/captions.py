"""Captions: a few words at a time, the spoken one highlighted, inside the area that the apps leave free.

The formats are ASS as libass reads it (the file format's page of the Aegisub manual), SubRip, and WebVTT (W3C).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from functions.video.render.long_words import SMALLEST_SCALE, fit_words
from functions.video.render.scripts import letter_width
from functions.video.render.typesetting import BADGE, EM, PLAIN, Typesetting
from functions.video.values import FPS, HEIGHT, WIDTH, Word

# TikTok, Reels and Shorts cover about the lower fifth and, beside it, a strip of 100 pixels for their buttons on the
# right. What is left is not quite in the middle.
_LEFT, _RIGHT = 56, 616  # pixels between which the widest line is, its outline included
_CENTRE = ((_LEFT + _RIGHT) // 2, round(0.66 * HEIGHT))
_LINE_WIDTH = (_RIGHT - _LEFT - 12) / EM  # in ems
_FILE_LINE_WIDTH = 20.0  # ems, in a caption file: about 37 letters, as broadcasters have it
_LINES = 2  # on a page
_PLATE = (40, 150, 74, 46, 11)  # x, y, width, height and radius in pixels
_PAUSE = 0.7  # seconds of silence after which a page does not go on
_LINGER = 0.35  # seconds that the last page before a pause stays
_FRAME = 1 / FPS  # seconds by which a cut, which is between two frames, may miss the end of a word
_TORN = 5.0  # cost of a page that ends between an abbreviation, an initial or a number and what follows
_LIST_NUMBER = re.compile(r"\(?\w{1,3}\)")

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
Style: Words,{{font}},{{size}},&H00FFFFFF,&H00FFFFFF,&H00101010,&H78000000,0,0,0,0,100,100,0,0,1,6,3,5,0,0,0,-1

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


def render_ass(
    words: Sequence[Word],
    first_frame: int,
    frames: int,
    badge: bool = False,
    scene_ends: Sequence[float] = (),
    typesetting: Typesetting = PLAIN,
) -> str:
    """The captions, as ASS, of the clip that shows these frames of the video; its first frame is at 0.

    With `badge` a small plate with the letters AI is in every frame, below what the apps lay over the top.
    """
    head = _HEAD.format(font=typesetting.font, size=typesetting.font_size)
    mark = _badge(frames / FPS, typesetting) if badge else ""
    return head + mark + "".join(_events(words, first_frame / FPS, frames / FPS, scene_ends, typesetting))


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


def _badge(seconds: float, typesetting: Typesetting) -> str:
    """A dark, translucent plate with round corners, and the letters on it, as ASS events."""
    x, y, width, height, radius = _PLATE
    right, bottom = width - radius, height - radius
    plate = (
        f"m {radius} 0 l {right} 0 b {width} 0 {width} 0 {width} {radius} l {width} {bottom} "
        f"b {width} {height} {width} {height} {right} {height} l {radius} {height} b 0 {height} 0 {height} 0 {bottom} "
        f"l 0 {radius} b 0 0 0 0 {radius} 0"
    )
    middle = f"{x + width // 2},{y + height // 2}"
    size = round(0.95 * height * typesetting.font_size / PLAIN.font_size)
    event = f"Dialogue: 1,{_centiseconds(0)},{_centiseconds(seconds)},Words,,0,0,0,,"
    return (
        f"{event}{{\\an7\\pos({x},{y})\\bord0\\shad0\\1c&H101010&\\1a&H66&\\p1}}{plate}\n"
        f"{event}{{\\an5\\pos({middle})\\bord0\\shad0\\fs{size}}}{_draw(BADGE, typesetting)}\n"
    )


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
            room = 1 - _width(passage[begin:end]) / (_LINES * line_width)
            clause = end == len(passage) or passage[end - 1].text[-1:] in ",;:—–"  # noqa: RUF001 - a dash is meant
            cost = best[begin][0] + 1.0 + max(0.0, room) ** 2 + (0.0 if clause else 0.3)
            cost += _TORN if _is_torn(passage, end) else 0.0
            options.append((cost, [*best[begin][1], lines]))
        best.append(min(options, key=lambda option: option[0]))
    return best[-1][1]


def _lines(words: Sequence[Word], line_width: float) -> tuple[tuple[Word, ...], ...] | None:
    """The words on one line, or on two of about equal length; None where they do not fit. A single word always fits."""
    if len(words) == 1 or _width(words) <= line_width:
        return (tuple(words),)
    options = {cut: max(_width(words[:cut]), _width(words[cut:])) for cut in range(1, len(words))}
    fitting = [cut for cut, widest in options.items() if widest <= line_width]
    if not fitting:
        return None
    at = min(fitting, key=lambda cut: (_is_torn(words, cut), options[cut]))
    return tuple(words[:at]), tuple(words[at:])


def _width(words: Sequence[Word]) -> float:
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
    return "".join(_clean(word.text) + _gap(word, after) for word, after in pairwise([*words, None]) if word)


def _gap(word: Word, after: Word | None) -> str:
    return " " if after is not None and after.first > word.last else ""


def _page_text(page: Page) -> str:
    return "\n".join(_line_text(line) for line in page.lines)


def _events(
    words: Sequence[Word], begin: float, seconds: float, scene_ends: Sequence[float], typesetting: Typesetting
) -> Iterator[str]:
    """One event for each word: its whole page, with this word highlighted, until the next word is spoken."""
    for page in lay_out_pages(words, scene_ends=scene_ends):
        order = [word for line in page.lines for word in line]
        starts = [page.start, *(word.start for word in order[1:]), page.end]
        widest = max(_width(line) for line in page.lines)
        font_size = rf"\fs{int(typesetting.font_size * _LINE_WIDTH / widest)}" if widest > _LINE_WIDTH else ""
        for number, (start, end) in enumerate(pairwise(starts)):
            start, end = start - begin, min(end - begin, seconds)
            if end <= 0 or start >= seconds:
                continue
            pop = _POP if number == 0 and start >= 0 else ""
            style = rf"{{\an5\pos({_CENTRE[0]},{_CENTRE[1]}){font_size}{pop}}}"
            first, last = _centiseconds(max(0.0, start)), _centiseconds(end)
            if first != last:
                text = _highlight(page, order[number], typesetting)
                yield f"Dialogue: 0,{first},{last},Words,,0,0,0,,{style}{text}\n"


def _highlight(page: Page, spoken: Word, typesetting: Typesetting) -> str:
    """The page's text with tags around the spoken word."""
    lines = []
    for line in page.lines:
        text = typesetting.line_start
        for word, after in pairwise([*line, None]):
            assert word is not None  # only the last has nothing after it
            literal = _draw(word.text, typesetting)
            text += (f"{_SPOKEN}{literal}{_PLAIN}" if word is spoken else literal) + _gap(word, after)
        lines.append(text)
    return r"\N".join(lines)


def _draw(text: str, typesetting: Typesetting) -> str:
    """The text as ASS draws it, with the family of each piece that is not in the style's."""
    drawing = ""
    for family, run in typesetting.runs(_clean(text)):
        literal = _escape(run)
        other = family != typesetting.font
        drawing += rf"{{\fn{family}}}{literal}{{\fn{typesetting.font}}}" if other else literal
    return drawing


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
