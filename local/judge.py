"""Grades a swap by the demo pack's judge: an embedder that took no part in training the others."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from local.demo_pack.training.measure import Pack

DETECTION_SIZE = 512  # pixels, as the swap function has it

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Judge:
    """The demo pack behind insightface's own classes."""

    pack: Pack

    @staticmethod
    def load() -> Judge:
        """With the files of the repository."""
        return Judge(Pack.load())

    def grade(self, source: bytes, target: bytes, result: bytes) -> tuple[float, float] | None:
        """Of the faces found in the result, the mean cosine to the source's largest face and to the target's faces.

        Files in; every face of the result is compared with the face of the target that it lies nearest to. None where
        a picture has no face.
        """
        wanted, before, after = self._embedded(source)[:1], self._embedded(target), self._embedded(result)
        if not (wanted and before and after):
            return None
        to_source, to_target = [], []
        for middle, embedding in after:
            _, replaced = min(before, key=lambda each: float(np.linalg.norm(each[0] - middle)))
            to_source.append(float(embedding @ wanted[0][1]))
            to_target.append(float(embedding @ replaced))
        return float(np.mean(to_source)), float(np.mean(to_target))

    def _embedded(self, file: bytes) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Middle (x, y) in pixels and unit embedding of each face, largest first."""
        picture = np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # insightface calls scikit-image by an old name
            faces = self.pack.faces(picture, DETECTION_SIZE)
            return [(np.asarray(face.kps.mean(0), np.float32), self.pack.judged(picture, face)) for face in faces]
