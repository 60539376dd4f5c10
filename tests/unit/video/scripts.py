"""Voice-overs and search results without any service, for the tests of what is made from them."""

from __future__ import annotations

import re

from functions.video.values import Footage, Rendition, SearchResult, VoiceOver, Word

SCRIPT = (
    "The ocean is older than the mountains. It has never once stopped moving. "
    "Every wave that reaches the shore began somewhere you will never see. "
    "Listen closely, and you can hear the wind that made it."
)


def speak(text: str, *, letter: float = 0.06, pause: float = 0.3) -> tuple[Word, ...]:
    """The words, `letter` seconds for each letter and the blank after it, and a pause after a sentence."""
    words, now = [], 0.1
    for match in re.finditer(r"\S+", text):
        ends = match[0][-1] in ".!?"
        seconds = letter * (len(match[0]) + 1)
        words.append(Word(match[0], round(now, 3), round(now + seconds, 3), match.start(), match.end(), ends))
        now += seconds + (pause if ends else 0.0)
    return tuple(words)


def voice_over(text: str = SCRIPT, key: str = "work/voice/1.flac", **pace: float) -> VoiceOver:
    """The script as `speak` speaks it, and a little silence."""
    words = speak(text, **pace)
    return VoiceOver(key, words[-1].end + 0.2, words, True)


def footage(number: int, seconds: float = 12.0, *renditions: Rendition) -> Footage:
    """Footage, by default with one rendition of the size of a video."""
    files = renditions or (Rendition(f"https://files.example/{number}.mp4", 720, 1280, 25.0, 3_000_000),)
    return Footage(f"pexels:{number}", seconds, f"https://pages.example/{number}", f"Person {number}", "", files)


def search_result(*seconds: float) -> SearchResult:
    """Footage of these lengths, the best first, numbered from 1."""
    return SearchResult("sea", tuple(footage(number, each) for number, each in enumerate(seconds, 1)))
