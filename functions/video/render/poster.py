"""The picture that stands for a video before it plays."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

from functions.video.artifacts import recipe
from functions.video.context import StepContext
from functions.video.provenance import describe_poster
from functions.video.render.encoder import encoder_version
from functions.video.values import Plan
from layers.media.c2pa_key import signing_chain
from layers.media.c2pa_label import Signer, build_manifest
from layers.media.ffmpeg import run, untrusted_input
from layers.media.xmp_label import label

VERSION = 1  # raise it with code of the labels that makes another poster
_POSITION = 1 / 3  # of the video: past the opening, before the end
_FRAMES = 24  # of which the filter takes the one nearest to their average: no flash, no fade
# JFIF knows one kind of colours: BT.601's matrix, of full range.
_TO_JPEG = "scale=in_color_matrix=bt709:in_range=tv:out_color_matrix=bt601:out_range=pc,format=yuvj420p"
_JPEG_QUALITY = "3"  # ffmpeg's scale of 2 (best) to 31


def make(video_key: str, plan: Plan, context: StepContext) -> str:
    """The key of a labelled and signed JPEG of the video's size in the artifact store, made unless it exists.

    Raises LabelFailed, and what ffmpeg's run and the storage raise.
    """
    artifacts, settings, provenance = context.artifacts, context.settings, describe_poster()
    key = artifacts.key(
        "poster",
        "jpg",
        video_key,
        _arguments(Path("video"), plan),
        encoder_version(),
        build_manifest(provenance),
        settings.signing_key,
        recipe(sys.modules[__name__]),
    )
    if artifacts.reuse_file(key):
        return key
    video, picture = context.folder / "poster.mp4", context.folder / "poster.jpg"
    try:
        artifacts.get_file(video_key, video, settings.max_clip_bytes * len(plan.segments), context.deadline)
        run([*_arguments(video, plan), str(picture)], deadline=context.deadline, threads=settings.threads)
        signer = Signer(partial(signing_chain, settings.signing_key))
        picture.write_bytes(signer.sign_picture(label(picture.read_bytes(), "jpeg"), "jpeg", provenance))
        artifacts.put_file(key, picture, "image/jpeg")
    finally:
        for path in (video, picture):
            path.unlink(missing_ok=True)
    return key


def _arguments(video: Path, plan: Plan) -> list[str]:
    """ffmpeg's arguments, except for the output."""
    start = f"{max(0.0, plan.frames * _POSITION / plan.fps):.3f}"
    filters = f"thumbnail={_FRAMES},{_TO_JPEG}"
    frame = ["-an", "-vf", filters, "-frames:v", "1", "-q:v", _JPEG_QUALITY, "-f", "image2", "-update", "1"]
    return ["-ss", start, *untrusted_input(video), *frame]
