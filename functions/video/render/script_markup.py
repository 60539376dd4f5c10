"""A script as a voice is to speak it: without Markdown, tags and invisible characters, which nobody wants to hear.

Tags are those of SSML (W3C, Speech Synthesis Markup Language 1.1) and HTML; the marks are CommonMark's.
"""

from __future__ import annotations

import re
import unicodedata
from html import unescape

VERSION = 1  # raise it with code below that speaks or shows another text
LONGEST_PAUSE = 3.0  # seconds, of one <break>; services take no more
# Seconds of SSML's <break strength>, where the tag names no time.
_STRENGTHS = {"none": 0.0, "x-weak": 0.2, "weak": 0.35, "medium": 0.5, "strong": 1.0, "x-strong": 1.5}
_PAUSE = re.compile(r'<break time="[\d.]+s" />')  # as this module writes it
_OUTER_PAUSES = re.compile(rf"\A\s*(?:{_PAUSE.pattern}\s*)+|(?:\s{_PAUSE.pattern})+\s*\Z")  # nobody hears them

_COMMENT = re.compile(r"<!--.*?-->|<\?[^<>]{0,200}\?>|<!\[CDATA\[|\]\]>", re.DOTALL)
_ATTRIBUTES = r"""((?:\s{1,20}[\w:.-]{1,40}\s{0,5}=\s{0,5}(?:"[^"<>]{0,200}"|'[^'<>]{0,200}')){0,20})\s{0,20}"""
_BREAK = re.compile(rf"[ \t]{{0,20}}</?break{_ATTRIBUTES}/?>[ \t]{{0,20}}", re.IGNORECASE)
_TAG = re.compile(rf"</?(?!break\b)([A-Za-z][\w:.-]{{0,40}}){_ATTRIBUTES}/?>")
_TIME = re.compile(r"""\btime\s*=\s*["']\+?(\d{1,5}(?:\.\d{1,5})?|\.\d{1,5})(ms|s)["']""")
_STRENGTH = re.compile(r"""\bstrength\s*=\s*["']([a-z-]{1,20})["']""")
_PARAGRAPH_TAGS = ("p", "s", "br", "div", "li", "h1", "h2", "h3", "h4", "h5", "h6")
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|nbsp|#39);")
_AUTOLINK = re.compile(r"<((?:https?://|mailto:)[^\s<>]{1,2000})>")


def _emphasis(mark: str) -> re.Pattern[str]:
    """A text between two such marks, not within a word and not with blanks inside, as in 2 * 3 * 4."""
    sign, marks = re.escape(mark[0]), re.escape(mark)
    return re.compile(rf"(?<![\w{sign}]){marks}(?=[^\s{sign}])([^\n]{{1,300}}?)(?<=\S){marks}(?![\w{sign}])")


# What replaces each mark of Markdown, in this order.
_MARKDOWN: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^[ \t]*(?:```|~~~)[^\n]*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,}|={3,})$", re.MULTILINE), ""),
    (re.compile(r"!\[[^\[\]\n]{0,200}\]\([^()\s]{0,2000}\)"), ""),
    (re.compile(r"\[([^\[\]\n]{1,200})\]\([^()\s]{1,2000}(?:[ \t]\"[^\"\n]{0,200}\")?\)"), r"\1"),
    # A headline is a sentence of its own.
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+([^\n#]*)#*$", re.MULTILINE), "\\1\n"),
    (re.compile(r"^[ \t]*(?:>[ \t]?)+", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*[-*+\u2022][ \t]+(?:\[[ xX]\][ \t]+)?", re.MULTILINE), ""),
    (re.compile(r"(?<![\w`])`+([^`\n]{1,300})`+(?![\w`])"), r"\1"),
    *((_emphasis(mark), r"\1") for mark in ("***", "**", "*", "___", "__", "_", "~~")),
)

# Invisible characters that mean nothing to a reader: soft hyphens, joiners of words, byte order marks, and what turns
# the direction of a text. Joiners of letters, and the two marks of writing from right to left, stay.
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u180e\u2060-\u2064\u202a-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb]"
)
# A zero-width space shows where words end in Thai, Lao, Myanmar and Khmer, and nothing anywhere else.
_SPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
_ZERO_WIDTH_SPACE = re.compile(f"(?<![{_SPACED}])\u200b+|\u200b+(?![{_SPACED}\u200b])")


def speech_text(script: str, *, pauses: bool) -> str:
    """The text for a voice service; with `pauses`, for a service that obeys it, a <break> stays, as a tag in one form.

    A text without any markup comes back as it is.
    """
    text = script.replace("\u2028", "\n").replace("\u2029", "\n\n").replace("\x85", "\n")
    text = _ZERO_WIDTH_SPACE.sub("", _INVISIBLE.sub("", text))
    text = _AUTOLINK.sub(r"\1", _COMMENT.sub("", text))
    for pattern, replacement in _MARKDOWN:
        text = pattern.sub(replacement, text)
    text = _BREAK.sub(lambda tag: _replace_break(tag[1], pauses), text)
    text = _TAG.sub(_replace_tag, text)
    if pauses:
        text = _OUTER_PAUSES.sub("", text)
    return _ENTITY.sub(lambda entity: unescape(entity[0]), text)


def mask_pauses(text: str) -> str:
    """The text of `speech_text`, of the same length, with an end of a paragraph and blanks where it has tags."""
    return _PAUSE.sub(lambda tag: "\n\n".ljust(len(tag[0])), text)


def shown_text(script: str) -> str:
    """What captions show of a script: nothing of its markup."""
    return mask_pauses(speech_text(script, pauses=True))


def has_words(script: str) -> bool:
    """Whether there is anything to speak: a letter or a digit that is no markup."""
    return any(unicodedata.category(letter)[0] in "LN" for letter in shown_text(script))


def _replace_tag(tag: re.Match[str]) -> str:
    return "\n\n" if tag[1].lower() in _PARAGRAPH_TAGS else ""


def _replace_break(attributes: str, pauses: bool) -> str:
    seconds = _pause_seconds(attributes)
    return f' <break time="{seconds:g}s" /> ' if pauses and seconds else " "


def _pause_seconds(attributes: str) -> float:
    """The seconds of a <break>."""
    if time := _TIME.search(attributes):
        seconds = float(time[1]) / (1000 if time[2] == "ms" else 1)
    else:
        strength = _STRENGTH.search(attributes)
        seconds = _STRENGTHS.get(strength[1] if strength else "medium", _STRENGTHS["medium"])
    return round(min(seconds, LONGEST_PAUSE), 2)
