"""A job with the whole still beside its crops, for backends that take no crops."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from functions.swap.values import Box
from layers.engine.crop_job import CropJob
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from functions.swap.face.align import Matrix

QUALITY = 95  # of the JPEGs that go out


@dataclass(frozen=True)
class Still:
    """A meme, the faces of it that are replaced, and the face that is put in.

    Both pictures go out as pixels alone, without what files say beside (places, cameras, names).
    """

    pixels: Pixels  # BGR [H, W, 3]
    boxes: Sequence[Box]  # of these faces
    transforms: Sequence[Matrix]  # from the picture to the crop of each
    others: Sequence[Box]  # of the faces that stay, which a swapper there may take all the same
    digest: str  # of the file
    face: Pixels  # BGR [H, W, 3]
    caller: str | None = None  # whose tickets count

    @cached_property
    def jpegs(self) -> tuple[bytes, bytes]:
        """The meme and the face, encoded."""
        return _encode(self.pixels), _encode(self.face)

    def name(self, model: str) -> str:
        """A name of what that model makes of it for this caller: 64 hexadecimal digits."""
        parts = [model, self.digest, hashlib.sha256(self.jpegs[1]).hexdigest(), self.caller or ""]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class StillJob(CropJob):
    """Crops, and the still that they are from."""

    still: Still


def _encode(pixels: Pixels) -> bytes:
    import cv2

    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
