"""Grades a swap by the demo pack's judge: an embedder that took no part in training the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from local.demo_pack.reference_pack import ReferencePack

DETECTION_SIZE = 512  # pixels, as the swap function has it

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Judge:
    """The demo pack behind insightface's own classes."""

    pack: ReferencePack

    @staticmethod
    def load() -> Judge:
        """The judge of the repository's demo pack."""
        return Judge(ReferencePack.load())

    def grade(self, source: bytes, target: bytes, result: bytes) -> tuple[float, float] | None:
        """Mean cosines of the result's faces to the source's largest face, and to the target's faces.

        The arguments are picture files. Each face of the result is compared with the face of the target that lies
        nearest to it. None where a picture has no face.
        """
        source_faces, target_faces, result_faces = (
            self._embed_faces(source)[:1],
            self._embed_faces(target),
            self._embed_faces(result),
        )
        if not (source_faces and target_faces and result_faces):
            return None
        to_source, to_target = [], []
        for middle, embedding in result_faces:
            _, replaced = min(target_faces, key=lambda each: float(np.linalg.norm(each[0] - middle)))
            to_source.append(float(embedding @ source_faces[0][1]))
            to_target.append(float(embedding @ replaced))
        return float(np.mean(to_source)), float(np.mean(to_target))

    def _embed_faces(self, file: bytes) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Centre (x, y) in pixels and unit embedding of each face, largest first."""
        picture = np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # insightface calls scikit-image by an old name
            faces = self.pack.faces(picture, DETECTION_SIZE)
            return [
                (np.asarray(face.kps.mean(0), np.float32), self.pack.embed_with_judge(picture, face)) for face in faces
            ]
