"""ffmpeg's arguments for a picture that moves slowly for as long as it is shown."""

from __future__ import annotations

from pathlib import Path

from functions.video.render.framing import Centre
from layers.media.formats import PictureFormat

VERSION = 2  # raise it with code below that moves pictures otherwise
ZOOM = 0.1  # of the frame's sides, over the whole shot
# Only that file, only as that format, only by that decoder.
_INPUTS: dict[PictureFormat, tuple[str, str]] = {
    "jpeg": ("jpeg_pipe", "mjpeg"),
    "png": ("png_pipe", "png"),
    "webp": ("webp_pipe", "webp"),
}


def picture_input(path: Path, kind: PictureFormat, fps: int) -> list[str]:
    """The arguments that make a stranger's picture an input."""
    demuxer, decoder = _INPUTS[kind]
    whitelists = ["-protocol_whitelist", "file", "-format_whitelist", demuxer, "-codec_whitelist", decoder]
    return [*whitelists, "-framerate", str(fps), "-f", demuxer, "-i", f"file:{path}"]


def picture_filters(width: int, height: int, frames: int, window: Centre, *, zooms_in: bool) -> list[str]:
    """The filters that make frames of that size of one picture: its window fills them, and comes nearer or goes away.

    It is moved before it is scaled down, between pixels and not by whole ones, which would be seen as trembling.
    """
    wide, high = (2 * round(side * (1 + ZOOM) / 2) for side in (width, height))
    progress = f"on/{frames}" if zooms_in else f"(1-on/{frames})"
    x, y = (f"{side}*{ZOOM / 2}*{progress}" for side in ("W", "H"))
    corners = (("x0", x), ("y0", y), ("x1", f"W-{x}"), ("y1", y), ("x2", x), ("y2", f"H-{y}"))
    places = ":".join(f"{name}='{value}'" for name, value in (*corners, ("x3", f"W-{x}"), ("y3", f"H-{y}")))
    return [
        f"scale={wide}:{high}:force_original_aspect_ratio=increase:flags=bicubic:out_range=tv:out_color_matrix=bt709",
        f"crop={wide}:{high}:'(iw-ow)*{window[0]:.3f}':'(ih-oh)*{window[1]:.3f}'",
        "format=yuv420p",
        "loop=loop=-1:size=1:start=0",
        f"perspective={places}:sense=source:eval=frame",
        f"scale={width}:{height}:flags=bicubic",
        "setsar=1",
    ]
