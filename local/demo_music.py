"""The demo's music: four chords of soft tones that come and go, made here so that nobody has to ask for it."""

from __future__ import annotations

from pathlib import Path

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run

CHORD_SECONDS = 4
CHORDS = ((220.0, 261.63, 329.63), (174.61, 220.0, 261.63), (196.0, 246.94, 392.0), (164.81, 246.94, 329.63))
"""A minor, F, G and E minor, in Hz."""


def write_music(path: Path, deadline: Deadline) -> Path:
    """Write the chords as an MP3 or M4A file that begins anew without a gap that is heard."""
    swell = f"pow(sin(PI*mod(t,{CHORD_SECONDS})/{CHORD_SECONDS}),0.6)"
    tones = "+".join(
        f"eq(floor(mod(t,{CHORD_SECONDS * len(CHORDS)})/{CHORD_SECONDS}),{number})*sin(2*PI*{hertz}*t)"
        for number, chord in enumerate(CHORDS)
        for hertz in chord
    )
    source = f"aevalsrc='0.12*{swell}*({tones})':s=44100:d={CHORD_SECONDS * len(CHORDS)}"
    echo = "aecho=0.8:0.7:180|310:0.35|0.25,lowpass=f=1800"
    run(["-f", "lavfi", "-i", source, "-af", echo, str(path)], deadline=deadline)
    return path
