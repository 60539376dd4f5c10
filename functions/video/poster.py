"""The picture that stands for a video before it plays."""

from __future__ import annotations

from pathlib import Path

from functions.video.settings import VideoSettings
from functions.video.values import Plan
from functions.video.work import Work
from layers.core.deadline import Deadline
from layers.media.ffmpeg import run, untrusted
from layers.media.label import label

VERSION = 1  # of what this module makes: a part of every poster's key
_PLACE = 1 / 3  # of the video: past the opening, before the end
_LOOKED_AT = 24  # frames, of which the filter takes the one nearest to their average: no flash, no fade


def make(video_key: str, plan: Plan, *, work: Work, folder: Path, deadline: Deadline, settings: VideoSettings) -> str:
    """The key of a labelled JPEG of the video's size in the work store, made unless it is there.

    Raises what ffmpeg's run and the storage raise.
    """
    key = work.key("poster", "jpg", VERSION, video_key, plan.frames)
    if work.exists(key):
        return key
    video, picture = folder / "poster.mp4", folder / "poster.jpg"
    try:
        work.get_file(video_key, video, settings.max_clip_bytes * len(plan.segments), deadline)
        choose = f"thumbnail={_LOOKED_AT},format=yuvj420p"
        start = f"{max(0.0, plan.frames * _PLACE / plan.fps):.3f}"
        arguments = ["-ss", start, *untrusted(video), "-an", "-vf", choose, "-frames:v", "1", "-q:v", "3"]
        run([*arguments, "-f", "image2", "-update", "1", str(picture)], deadline=deadline, threads=settings.threads)
        picture.write_bytes(label(picture.read_bytes(), "jpeg"))
        work.put_file(key, picture, "image/jpeg")
    finally:
        for path in (video, picture):
            path.unlink(missing_ok=True)
    return key
