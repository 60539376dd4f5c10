"""The encoder, as a part of the keys of what it encodes."""

from __future__ import annotations

from pathlib import Path

from layers.media.ffmpeg import program


def encoder_version() -> str:
    """The name of the ffmpeg program, which ends in its version: clips of two versions may not join by copying."""
    return Path(program()).name
