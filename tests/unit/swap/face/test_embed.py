"""Embeddings against insightface's ArcFaceONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from insightface.app.common import Face as TheirFace
from insightface.model_zoo.arcface_onnx import ArcFaceONNX

from functions.swap.face import embed
from tests.unit.swap import networks
from tests.unit.swap.face_fixtures import face_with, grainy_picture, keypoints_at


class Embedder:
    """The same network, run by onnxruntime alone."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path))

    def run(self, crops: Any) -> Any:
        return self._session.run(None, {"input.1": crops})[0]


def test_embeddings_are_those_of_insightface(tmp_path: Path) -> None:
    path = networks.embedder(tmp_path / "embedder.onnx")
    theirs = ArcFaceONNX(str(path), onnxruntime.InferenceSession(str(path)))
    picture, keypoints = grainy_picture(640, 480), keypoints_at(300, 220, 1.7, 0.3)
    expected = theirs.get(picture, TheirFace(kps=keypoints))

    embedding = embed.embed_face(picture, face_with(keypoints), cast(Any, Embedder(path)))

    assert embedding.shape == (512,)
    cosine = embedding @ expected / np.linalg.norm(embedding) / np.linalg.norm(expected)
    assert cosine > 0.9999
