"""Scripts as if spoken, and footage as if found, for the tests of what is made from them."""

from __future__ import annotations

import re

from functions.video.values import Footage, Rendition, SearchResult, VoiceOver, Word

SCRIPT = (
    "The ocean is older than the mountains. It has never once stopped moving. "
    "Every wave that reaches the shore began somewhere you will never see. "
    "Listen closely, and you can hear the wind that made it."
)


def spoken(text: str, *, letter: float = 0.06, pause: float = 0.3) -> tuple[Word, ...]:
    """`letter` seconds for each letter and the blank after it, and a pause after a sentence."""
    words, now = [], 0.1
    for found in re.finditer(r"\S+", text):
        ends = found[0][-1] in ".!?"
        lasts = letter * (len(found[0]) + 1)
        words.append(Word(found[0], round(now, 3), round(now + lasts, 3), found.start(), found.end(), ends))
        now += lasts + (pause if ends else 0.0)
    return tuple(words)


def voice_over(text: str = SCRIPT, key: str = "work/voice/1.flac", **pace: float) -> VoiceOver:
    """The script as `spoken`, and a little silence."""
    words = spoken(text, **pace)
    return VoiceOver(key, words[-1].end + 0.2, words, True)


def footage(number: int, seconds: float = 12.0, *renditions: Rendition) -> Footage:
    """By default with one rendition of the size of a video."""
    some = renditions or (Rendition(f"https://files.example/{number}.mp4", 720, 1280, 25.0, 3_000_000),)
    return Footage(f"pexels:{number}", seconds, f"https://pages.example/{number}", f"Person {number}", "", some)


def found(*seconds: float) -> SearchResult:
    """Footage of these lengths, the best first, numbered from 1."""
    return SearchResult("sea", tuple(footage(number, each) for number, each in enumerate(seconds, 1)))
