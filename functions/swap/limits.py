"""How large, how many and how long: what a swap accepts. No variable of the environment changes these."""

from __future__ import annotations

from dataclasses import dataclass

from layers.core.units import MEGAPIXEL, MIB


@dataclass(frozen=True, kw_only=True)
class SwapLimits:
    """Sizes in bytes or pixels, times in seconds."""

    max_picture_bytes: int = 20 * MIB
    max_picture_pixels: int = 40 * MEGAPIXEL
    max_faces: int = 32  # swapped in one request
    max_own_sources: int = 8  # faces that one request gives a source of their own
    max_person_pictures: int = 4  # of one person, together as large as one picture may be
    max_verified_bytes: int = 200 * MIB  # of a file whose label is read; the longest videos made here
    max_moving_bytes: int = 200 * MIB  # of a moving meme
    max_moving_seconds: float = 60.0  # of one play
    max_moving_pixels: int = 1920 * 1080  # of one frame
    max_moving_frames: int = 1800
    max_face_frames: int = 7200  # swapped in one moving meme: faces, each counted once for every frame
    fetch_seconds: float = 15.0  # of one file, redirects included
    fetch_moving_seconds: float = 120.0  # of one moving meme
    max_redirects: int = 3  # followed from one URL to its file
    input_seconds: float = 24 * 3600  # how long an uploaded picture may be used; the bucket's lifecycle deletes it
    latent_seconds: int = 24 * 3600  # how long a latent may be used, other than the default face's
