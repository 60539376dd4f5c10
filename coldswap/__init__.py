"""Coldswap on one's own machine: puts a face into the faces of a picture, without any cloud.

    from coldswap import swap

    result = swap("me.jpg", "meme.jpg")
    result.save("out.jpg")

`coldswap --help` is the same for a terminal. docs/library.md describes both.
"""

from __future__ import annotations

from coldswap.library import SwappedPicture, list_faces, swap
from layers.core.errors import ColdswapError

__all__ = ["ColdswapError", "SwappedPicture", "list_faces", "swap"]
