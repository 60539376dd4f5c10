"""The content gate: a classifier of the operator's, in the pack, that looks at whole pictures before anything is made.

Its contract, which layers/models/tools/convert.py checks: one input float32 [1, 3, S, S], the picture squeezed to a
square, RGB, 0 to 1; one output float32 [1, 1] or [1, 2] whose last number is the probability that the picture may not
be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from functions.swap.face.align import to_planes
from layers.core.errors import ContentRefused, SafeguardFailed
from layers.media.encode import flatten
from layers.media.picture import Pixels


@dataclass(frozen=True)
class ContentFilter:
    """A classifier and from which probability on it refuses."""

    session: Any  # onnxruntime.InferenceSession
    threshold: float

    def check(self, pixels: Pixels, alpha: Pixels | None = None) -> None:
        """Look at a picture, uint8 BGR [H, W, 3]; where some of it is transparent (alpha uint8 [H, W]), also at what
        shows over white and over black.

        Raises ContentRefused; or SafeguardFailed where the classifier fails or says what is no probability.
        """
        self._look(pixels)
        if alpha is not None and alpha.min() < 255:
            for ground in (255, 0):
                shown = pixels.copy()
                flatten(shown, alpha, ground)
                self._look(shown)

    def _look(self, pixels: Pixels) -> None:
        wanted = self.session.get_inputs()[0]
        side = int(wanted.shape[-1])
        small = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        try:
            (said,) = self.session.run(None, {wanted.name: to_planes(small)})
            probability = float(np.asarray(said).reshape(-1)[-1])
        except Exception as error:  # onnxruntime has a class of its own for each cause, in a private module
            raise SafeguardFailed("The content gate failed, so nothing was made.") from error
        if not 0 <= probability <= 1:
            raise SafeguardFailed("The content gate gave no probability, so nothing was made.")
        if probability >= self.threshold:
            raise ContentRefused("The operator's content filter refuses this picture.")
