"""Aligned crops and latents as JSON carries them to a swapper elsewhere, and swapped crops on their way back.

A crop is sent as its bytes: its size is known before anything is decoded, and nothing is lost. In base64 it has 64 KiB.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats

SIDE = 128  # pixels of a crop
LATENT = 512  # numbers that describe a face
MOST_CROPS = 64  # of one job: 4 MiB of JSON, under the 6 MB that the least generous of the hosts takes (SageMaker)
_PREFIX = "data:application/octet-stream;base64,"


@dataclass(frozen=True)
class CropJob:
    """Crops to be swapped by a swapper: uint8 BGR [N, 128, 128, 3], with a latent each, float32 [N, 512], N >= 1."""

    swapper: str  # its digest, so that no other pack's is used
    crops: Pixels
    latents: Floats

    @property
    def id(self) -> str:
        """A name made of the inputs, 32 hexadecimal digits: whoever sends the same job again finds its result."""
        digest = hashlib.sha256(self.swapper.encode())
        digest.update(np.ascontiguousarray(self.crops).data)
        digest.update(np.ascontiguousarray(self.latents, "<f4").data)
        return digest.hexdigest()[:32]

    def to_input(self) -> dict[str, str]:
        """The fields of a prediction's input."""
        latents = np.ascontiguousarray(self.latents, "<f4").tobytes()
        return {"swapper": self.swapper, "crops": write_crops(self.crops), "latents": _encode(latents)}

    @staticmethod
    def from_input(document: Any) -> CropJob:
        """Read such fields. Raises ValueError, whose message names the field and may be shown to the sender."""
        if not isinstance(document, Mapping):
            raise ValueError("input must be an object")
        swapper = document.get("swapper")
        if not isinstance(swapper, str) or len(swapper) > 100:
            raise ValueError("input.swapper must be the digest of the pack's swapper")
        crops = read_crops(document.get("crops"), "input.crops")
        flat = np.frombuffer(_decode(document.get("latents"), len(crops) * LATENT * 4, "input.latents"), "<f4")
        latents = flat.reshape(len(crops), LATENT).astype(np.float32, copy=False)
        if not np.isfinite(latents).all():
            raise ValueError("input.latents must be finite numbers")
        return CropJob(swapper, crops, latents)


def write_crops(crops: Pixels) -> str:
    """Crops, uint8 BGR [N, 128, 128, 3], as a data: URI."""
    return _encode(np.ascontiguousarray(crops).tobytes())


def read_crops(uri: Any, field: str, count: int | None = None) -> Pixels:
    """Read such a URI, with `count` crops or 1 to MOST_CROPS. Raises ValueError, which names the field."""
    size = SIDE * SIDE * 3
    if count is None:
        characters = len(uri) - len(_PREFIX) if isinstance(uri, str) else 0
        count = characters * 3 // 4 // size
        if not 1 <= count <= MOST_CROPS:
            raise ValueError(f"{field} must be 1 to {MOST_CROPS} crops of {SIDE} x {SIDE} pixels")
    return np.frombuffer(_decode(uri, count * size, field), np.uint8).reshape(count, SIDE, SIDE, 3)


def _encode(content: bytes) -> str:
    return _PREFIX + base64.b64encode(content).decode()


def _decode(uri: Any, size: int, field: str) -> bytes:
    """The bytes of a data: URI, exactly `size`. Raises ValueError before it decodes anything longer."""
    if not isinstance(uri, str) or not uri.startswith(_PREFIX) or len(uri) != len(_PREFIX) + -(-size // 3) * 4:
        raise ValueError(f"{field} must be a data: URI of {size} bytes in base64, application/octet-stream")
    try:
        content = base64.b64decode(uri[len(_PREFIX) :], validate=True)
    except binascii.Error:
        content = b""
    if len(content) != size:
        raise ValueError(f"{field} is not in base64, or is no {size} bytes")
    return content
