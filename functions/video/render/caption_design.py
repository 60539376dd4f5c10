"""The design of captions: where they are in a frame, how large, and the styles that ASS knows them by.

Lengths are in pixels of a frame whose shorter side has 720; libass draws them larger in a larger one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from functions.video.render.typesetting import EM, Typesetting
from functions.video.values import CaptionStyle, Word

_HEAD = """[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 2
ScaledBorderAndShadow: yes
YCbCr Matrix: TV.709

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
{styles}
[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
_STYLE = (
    "Style: {name},{font},{size},{colour},{colour},{outline},&H78000000,0,0,0,0,100,100,0,0,{border},{width:g},"
    "{shadow:g},5,0,0,0,-1\n"
)
_OUTLINE, _SHADOW, _PADDING = 6.0, 3.0, 11.0  # of letters, and of the box behind a word
_DARK = "101010"
_BRIGHT = 0.55  # luminance from which dark letters are easier to read on a colour than white ones


@dataclass(frozen=True)
class Area:
    """What apps leave free of a frame: the widest line, its outline included, is between `left` and `right`; the
    middle of both lines is at the height `top`, `middle` or `bottom`."""

    width: int
    height: int
    left: int
    right: int
    top: int
    middle: int
    bottom: int
    scale: float = 1.0  # of the letters


# TikTok, Reels and Shorts cover about the upper eighth, the lower fifth and, beside that, a strip of 100 pixels for
# their buttons on the right: what is left is not quite in the middle. Squares are shown in lists, whose apps lay little
# over them; players of landscape videos cover the lower tenth, and television cuts a twentieth from every side.
AREAS = {
    "9:16": Area(720, 1280, 56, 616, round(0.235 * 1280), round(0.45 * 1280), round(0.66 * 1280)),
    "1:1": Area(720, 720, 48, 672, 160, 360, 570, 0.85),
    "16:9": Area(1280, 720, 128, 1152, 128, 360, 572, 0.8),
}
USUAL_AREA = AREAS["9:16"]
USUAL_STYLE = CaptionStyle()
_WORD_SCALE = 1.4  # of words that are shown one at a time


@dataclass(frozen=True)
class Design:
    """A style in an area."""

    style: CaptionStyle = USUAL_STYLE
    area: Area = USUAL_AREA

    @property
    def scale(self) -> float:
        """Of the letters."""
        return self.area.scale * (_WORD_SCALE if self.style.look == "word" else 1.0)

    @property
    def line_width(self) -> float:
        """Of the widest line without its outline, in ems."""
        return (self.area.right - self.area.left - 2 * _OUTLINE * self.area.scale) / (EM * self.scale)

    @property
    def centre(self) -> tuple[int, int]:
        """Of a page, in pixels."""
        heights = {"top": self.area.top, "middle": self.area.middle, "bottom": self.area.bottom}
        return (self.area.left + self.area.right) // 2, heights[self.style.position]

    def font_size(self, typesetting: Typesetting) -> int:
        """The size as ASS counts it."""
        return round(typesetting.font_size * self.scale)

    def head(self, typesetting: Typesetting) -> str:
        """The beginning of an ASS file: the style of words and, where there are boxes, that of theirs."""
        values = {
            "font": typesetting.font,
            "size": self.font_size(typesetting),
            "colour": ass_colour(self.style.colour),
        }
        outline = _DARK if luminance(self.style.colour) > _BRIGHT / 4 else "FFFFFF"
        scale = self.area.scale
        words = _STYLE.format(
            name="Words",
            outline=f"&H00{_reverse(outline)}",
            border=1,
            width=_OUTLINE * scale,
            shadow=_SHADOW * scale,
            **values,
        )
        accent = f"&H00{_reverse(self.style.accent)}"
        box = _STYLE.format(name="Box", outline=accent, border=3, width=_PADDING * scale, shadow=0, **values)
        styles = words + (box if self.style.look == "boxed" else "")
        return _HEAD.format(width=self.area.width, height=self.area.height, styles=styles)


USUAL_DESIGN = Design()


def design_for(style: CaptionStyle, width: int, height: int) -> Design:
    """The design of captions in a frame of that size, whose shape must be one of AREAS."""
    area = next(area for area in AREAS.values() if area.width * height == area.height * width)
    return Design(style, area)


def box_letters(accent: str) -> str:
    """The colour of letters that can be read on a box of that colour."""
    return _DARK if luminance(accent) > _BRIGHT else "FFFFFF"


def luminance(colour: str) -> float:
    """0 (black) to 1, as Rec. 709 weighs red, green and blue; of coded values, as eyes see steps."""
    red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def ass_colour(colour: str) -> str:
    """A colour of a style, opaque: blue, green, red."""
    return f"&H00{_reverse(colour)}"


def colour_tag(colour: str, number: int = 1) -> str:
    """The tag that sets a letter's colour (1), the one before its karaoke (2), or its outline's (3)."""
    return rf"\{number}c&H{_reverse(colour)}&"


def _reverse(colour: str) -> str:
    return (colour[4:] + colour[2:4] + colour[:2]).upper()


def set_capitals(text: str) -> str:
    """The text in capitals, but Georgian, whose capitals few typefaces have, as it is."""
    return "".join(letter if "\u10d0" <= letter <= "\u10ff" else letter.upper() for letter in text)


def style_words(words: Sequence[Word], style: CaptionStyle) -> Sequence[Word]:
    """The words with the letters that captions show."""
    return [replace(word, text=set_capitals(word.text)) for word in words] if style.capitals else words
