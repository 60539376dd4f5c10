"""The demo's music is a sound that can be heard, and none that clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from local.demo_music import CHORD_SECONDS, CHORDS, write_music


def test_every_chord_is_heard_and_nothing_clips(tmp_path: Path) -> None:
    music, raw = write_music(tmp_path / "music.m4a", Deadline.after(60)), tmp_path / "music.raw"
    run(["-i", str(music), "-ac", "1", "-ar", "8000", "-f", "f32le", str(raw)], deadline=Deadline.after(60))
    samples = np.frombuffer(raw.read_bytes(), np.float32)

    chords = np.split(samples[: 8000 * CHORD_SECONDS * len(CHORDS)], len(CHORDS))
    assert all(np.sqrt(np.mean(chord**2)) > 0.03 for chord in chords)
    assert np.abs(samples).max() < 0.9
