"""Music under a voice: quiet while somebody speaks, louder in pauses, faded at the end.

Levels follow from the words' own times rather than from the sound of the voice: a compressor that listens comes too
late for a word's beginning, and never knows a breath from a pause.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise

from functions.video.values import Word

VERSION = 1  # raise it with code below that gives another curve
UNDER = 22.0  # LU that music is below speech while somebody speaks
LIFT = 9.0  # dB more in pauses
MOST_GAIN = 30.0  # dB, of a file that is nearly silent
CURVE_RATE = 200  # values a second
_PAUSE = 0.7  # seconds: a shorter gap is none
_DOWN, _UP, _FADE = 0.25, 0.4, 1.5  # seconds before speech, after it, and at the end of all


def gain_curve(words: Sequence[Word], seconds: float) -> array[float]:
    """What music is multiplied by, CURVE_RATE times a second: 1 in pauses, LIFT less during speech, 0 at the end."""
    spans = list(_spans(words, seconds))
    curve = array("f")
    position = 0
    for number in range(math.ceil(seconds * CURVE_RATE) + 1):
        now = number / CURVE_RATE
        while position < len(spans) and now > spans[position][1] + _UP:
            position += 1
        share = max((_ducking(now, span) for span in spans[position : position + 2]), default=0.0)
        fade = min(1.0, max(0.0, (seconds - now) / _FADE))
        curve.append(10 ** (-share * LIFT / 20) * fade)
    return curve


def _spans(words: Sequence[Word], seconds: float) -> Iterator[tuple[float, float]]:
    """From when to when somebody speaks, with gaps that are no pauses closed."""
    if not words:
        return
    first = words[0].start if words[0].start >= _PAUSE else 0.0
    for word, after in pairwise(words):
        if after.start - word.end >= _PAUSE:
            yield first, word.end
            first = after.start
    last = words[-1].end
    yield first, last if seconds - last >= _PAUSE else seconds


def _ducking(now: float, span: tuple[float, float]) -> float:
    """How far music has gone down for a span of speech at that second, from 0 to 1."""
    start, end = span
    if now < start:
        return max(0.0, 1 - (start - now) / _DOWN)
    return max(0.0, 1 - (now - end) / _UP) if now > end else 1.0


def mix_filters(voice_filters: str, gain: float, limiter: str, rate: str) -> str:
    """The filter graph of voice (input 0), music (1) and the curve (2, two channels), whose output is `[out]`; `gain`
    is the music's in pauses, in dB. The sum goes through the limiter, so that it never clips."""
    plain = "aformat=sample_fmts=fltp:channel_layouts=stereo"
    return (
        f"[0:a:0]{voice_filters}{rate},{plain}[voice];"
        f"[1:a:0]{rate},{plain},volume={gain:.2f}dB[music];"
        f"[2:a:0]{rate},{plain}[curve];"
        "[music][curve]amultiply[bed];"
        f"[voice][bed]amix=inputs=2:duration=first:normalize=0,{limiter}{rate}[out]"
    )
