"""What several of these tests sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from layers.core.deadline import Deadline
from layers.media.ffmpeg import run
from layers.media.xmp_label import label_mp4


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A labelled short video, not yet signed."""
    path = tmp_path_factory.mktemp("video") / "short.mp4"
    sources = ["-f", "lavfi", "-i", "testsrc2=s=180x320:d=1:r=30", "-f", "lavfi", "-i", "sine=d=1"]
    encoders = ["-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", "-movflags", "+faststart"]
    run([*sources, *encoders, str(path)], deadline=Deadline.after(60))
    label_mp4(path)
    return path
