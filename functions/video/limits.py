"""How large, how many and how long: what a video accepts. No variable of the environment changes these."""

from __future__ import annotations

from dataclasses import dataclass

from layers.core.units import MEGAPIXEL, MIB


@dataclass(frozen=True, kw_only=True)
class VideoLimits:
    """Times in seconds, sizes in bytes, pixels or characters."""

    max_script_characters: int = 5_000
    max_video_seconds: float = 600.0  # the longest script at half the usual pace
    max_clip_bytes: int = 200 * MIB  # of footage that is fetched for one clip
    max_clip_pixels: int = 9 * MEGAPIXEL  # of a frame: 2160x3840 and a little more
    max_picture_pixels: int = 50 * MEGAPIXEL  # of a caller's own picture
