"""The picture that stands for a video before it plays."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from functions.video.artifacts import ArtifactStore
from functions.video.provenance import describe_poster
from functions.video.settings import VideoSettings
from functions.video.values import Plan
from layers.core.deadline import Deadline
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer
from layers.media.ffmpeg import run, untrusted
from layers.media.xmp_label import label

VERSION = 2  # of what this module makes: a part of every poster's key
_PLACE = 1 / 3  # of the video: past the opening, before the end
_LOOKED_AT = 24  # frames, of which the filter takes the one nearest to their average: no flash, no fade


def make(
    video_key: str, plan: Plan, *, work: ArtifactStore, folder: Path, deadline: Deadline, settings: VideoSettings
) -> str:
    """The key of a labelled and signed JPEG of the video's size in the work store, made unless it is there.

    Raises LabelFailed, and what ffmpeg's run and the storage raise.
    """
    key = work.key("poster", "jpg", VERSION, video_key, plan.frames)
    if work.reuse_file(key):
        return key
    video, picture = folder / "poster.mp4", folder / "poster.jpg"
    try:
        work.get_file(video_key, video, settings.max_clip_bytes * len(plan.segments), deadline)
        choose = f"thumbnail={_LOOKED_AT},format=yuvj420p"
        start = f"{max(0.0, plan.frames * _PLACE / plan.fps):.3f}"
        arguments = ["-ss", start, *untrusted(video), "-an", "-vf", choose, "-frames:v", "1", "-q:v", "3"]
        run([*arguments, "-f", "image2", "-update", "1", str(picture)], deadline=deadline, threads=settings.threads)
        seal = Signer(partial(signing_chain, settings.signing_key))
        picture.write_bytes(seal.picture(label(picture.read_bytes(), "jpeg"), "jpeg", describe_poster()))
        work.put_file(key, picture, "image/jpeg")
    finally:
        for path in (video, picture):
            path.unlink(missing_ok=True)
    return key
