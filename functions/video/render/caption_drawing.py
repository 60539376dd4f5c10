"""Captions drawn into the picture: a page at a time, inside the area that the apps leave free, and the AI mark.

The format is ASS as libass reads it (the file format's page of the Aegisub manual).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from functions.video.render.caption_design import USUAL_DESIGN, Design, style_words
from functions.video.render.caption_text import Moment, Page, draw, render_box, render_look
from functions.video.render.captions import fit_lines, lay_out_pages, measure
from functions.video.render.typesetting import BADGE, PLAIN, Typesetting
from functions.video.values import FPS, Word

_PLATE = (40, 150, 74, 46, 11)  # x, y, width, height and radius in pixels of an upright frame
_LOW_PLATE = (24, 24)  # x and y in others, over whose top apps lay nothing
_POP = r"\fscx88\fscy88\t(0,90,\fscx100\fscy100)"  # a page appears with a small bounce


def fit_design(words: Sequence[Word], design: Design = USUAL_DESIGN) -> list[Word]:
    """The words as this design shows them."""
    return fit_lines(style_words(words, design.style), design.line_width)


def render_ass(
    words: Sequence[Word],
    first_frame: int,
    frames: int,
    badge: bool = False,
    scene_ends: Sequence[float] = (),
    typesetting: Typesetting = PLAIN,
    design: Design = USUAL_DESIGN,
) -> str:
    """The captions, as ASS, of the clip that shows these frames of the video; its first frame is at 0.

    With `badge` a small plate with the letters AI is in every frame, below what the apps lay over the top.
    """
    mark = _badge(frames / FPS, typesetting, design) if badge else ""
    begin, seconds = first_frame / FPS, frames / FPS
    pages = _lay_out(words, design, scene_ends)
    events = (event for page in pages for event in _events(page, begin, seconds, typesetting, design))
    return design.head(typesetting) + mark + "".join(events)


def _badge(seconds: float, typesetting: Typesetting, design: Design) -> str:
    """A dark, translucent plate with round corners, and the letters on it, as ASS events."""
    x, y, width, height, radius = _PLATE
    x, y = (x, y) if design.area.height > design.area.width else _LOW_PLATE
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
        f"{event}{{\\an5\\pos({middle})\\bord0\\shad0\\1c&HFFFFFF&\\fs{size}}}{draw(BADGE, typesetting)}\n"
    )


def _lay_out(words: Sequence[Word], design: Design, scene_ends: Sequence[float]) -> Iterator[Page]:
    """The pages of this design: those of the look `word` hold one each."""
    for page in lay_out_pages(style_words(words, design.style), design.line_width, scene_ends):
        if design.style.look != "word":
            yield page
            continue
        starts = [page.start, *(word.start for word in page.words[1:]), page.end]
        for word, (start, end) in zip(page.words, pairwise(starts), strict=True):
            yield Page(((word,),), start, end)


def _events(page: Page, begin: float, seconds: float, typesetting: Typesetting, design: Design) -> Iterator[str]:
    """One event for each word: its whole page while this one is spoken, until the next is; with boxes, two."""
    style = design.style
    still = style.look in ("plain", "word")  # nothing changes while a page is shown
    words = page.words[:1] if still else page.words
    starts = [page.start, *(word.start for word in words[1:]), page.end]
    widest = max(measure(line) for line in page.lines)
    shrink = design.line_width / widest if widest else 1.0  # control characters have no width
    font_size = rf"\fs{int(design.font_size(typesetting) * shrink)}" if shrink < 1 else ""
    x, y = design.centre
    for number, (spoken, (start, end)) in enumerate(zip(words, pairwise(starts), strict=True)):
        start, end = start - begin, min(end - begin, seconds)
        first, last = _centiseconds(max(0.0, start)), _centiseconds(end)
        if end <= 0 or start >= seconds or first == last:
            continue
        tags = font_size + (_POP if number == 0 and start >= 0 else "")
        place = rf"{{\an5\pos({x},{y}){tags}}}"
        sweep = min(spoken.end, page.end) - begin - start if start >= 0 else 0.0
        moment = Moment(page, spoken, sweep)
        layer = 0
        if style.look == "boxed":
            layer = 1
            yield f"Dialogue: 0,{first},{last},Box,,0,0,0,,{place}{render_box(moment, typesetting)}\n"
        text = render_look(moment, style, typesetting, tags)
        yield f"Dialogue: {layer},{first},{last},Words,,0,0,0,,{place}{text}\n"


def _centiseconds(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 100), 6000)
    return f"{minutes // 60}:{minutes % 60:02}:{rest // 100:02}.{rest % 100:02}"
