"""Face embedding: from pixels to a vector that says whose face it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from functions.swap.face.align import EMBEDDER_SIZE, crop_face, to_planes
from functions.swap.values import Face, Floats
from layers.media.picture import Pixels

if TYPE_CHECKING:
    from layers.engine.embedder import Embedder


def embed_face(pixels: Pixels, face: Face, embedder: Embedder) -> Floats:
    """The embedding, float32 [512], not normalised, of a face in a picture (uint8 BGR [H, W, 3])."""
    aligned, _ = crop_face(pixels, face.keypoints, EMBEDDER_SIZE)
    return np.asarray(embedder.run(to_network_input(aligned))[0], np.float32)


def embed_with_flip(pixels: Pixels, face: Face, embedder: Embedder) -> Iterator[Floats]:
    """The face's embedding, and that of the same crop upside down.

    In an upside-down picture, the detector may report a face's keypoints as if the face were upright.
    """
    aligned, _ = crop_face(pixels, face.keypoints, EMBEDDER_SIZE)
    for crop in (aligned, aligned[::-1, ::-1]):
        yield np.asarray(embedder.run(to_network_input(crop))[0], np.float32)


def to_network_input(aligned: Pixels) -> Floats:
    """A crop in uint8 BGR as float32 [1, 3, 112, 112], RGB, -1 to 1 (insightface/model_zoo/arcface_onnx.py)."""
    return to_planes(aligned) * 2 - 1
