"""The content filter: a classifier that the operator puts into the pack, under the role `gate`, and that sees every
whole picture before anything is made of it.

Its contract, which layers/models/tools/convert.py checks: one input float32 [1, 3, S, S], the picture resized to a
square, RGB, 0 to 1; one output float32 [1, 1] or [1, 2] whose last number is the probability that the picture must not
be used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from functions.swap.face.align import to_planes
from layers.core.errors import ContentRefused, SafeguardFailed
from layers.media.picture import Pixels, flatten


@dataclass(frozen=True)
class ContentFilter:
    """A classifier, and the probability from which it refuses a picture."""

    session: Any  # onnxruntime.InferenceSession
    threshold: float

    def check(self, pixels: Pixels, alpha: Pixels | None = None) -> None:
        """Classify a picture, uint8 BGR [H, W, 3]; where some of it is transparent (alpha uint8 [H, W]), also as it
        looks on white and on black.

        Raises ContentRefused, or SafeguardFailed if the classifier fails or its output is not a probability.
        """
        self._classify(pixels)
        if alpha is not None and alpha.min() < 255:
            for background in (255, 0):
                flattened = pixels.copy()
                flatten(flattened, alpha, background)
                self._classify(flattened)

    def _classify(self, pixels: Pixels) -> None:
        model_input = self.session.get_inputs()[0]
        side = int(model_input.shape[-1])
        small = np.asarray(cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
        try:
            (output,) = self.session.run(None, {model_input.name: to_planes(small)})
            probability = float(np.asarray(output).reshape(-1)[-1])
        except Exception as error:  # onnxruntime raises a different class for each cause, all in a private module
            raise SafeguardFailed("The content filter failed, so nothing was made.") from error
        if not 0 <= probability <= 1:
            raise SafeguardFailed("The content filter did not return a probability, so nothing was made.")
        if probability >= self.threshold:
            raise ContentRefused("The operator's content filter refused this picture.")
