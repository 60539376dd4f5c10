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
from tests.unit.swap.face.test_align import face, placed
from tests.unit.swap.face.test_paste import scene


class Embedder:
    """The same network, run plainly."""

    def __init__(self, path: Path) -> None:
        self._session = onnxruntime.InferenceSession(str(path))

    def run(self, crops: Any) -> Any:
        return self._session.run(None, {"input.1": crops})[0]


def test_embeddings_are_those_of_insightface(tmp_path: Path) -> None:
    path = networks.embedder(tmp_path / "embedder.onnx")
    theirs = ArcFaceONNX(str(path), onnxruntime.InferenceSession(str(path)))
    picture, keypoints = scene(640, 480), placed(300, 220, 1.7, 0.3)
    expected = theirs.get(picture, TheirFace(kps=keypoints))

    found = embed.embed_face(picture, face(keypoints), cast(Any, Embedder(path)))

    assert found.shape == (512,)
    cosine = found @ expected / np.linalg.norm(found) / np.linalg.norm(expected)
    assert cosine > 0.9999
