"""Runs a detector of the SCRFD family (Guo et al., 2021).

What it reports is what insightface's class reports, to the bit, without the packages that the class imports (onnx
alone takes a sixth of a second of each cold start), and in half the time that the class takes beside the network.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functions.swap.values import Floats
from layers.media.picture import Pixels

MEAN, SPREAD = 127.5, 128.0  # of the input: (level - MEAN) / SPREAD
STRIDES = {9: (8, 16, 32), 15: (8, 16, 32, 64, 128)}  # pixels, by the number of outputs
ANCHORS = {9: 2, 15: 1}  # at each place, by the number of outputs
MOST_KEPT = 1 << 20  # numbers of an input that is kept for the next picture, 4 MB


class Scrfd:
    """A network with scores, boxes and keypoints, in this order, each for all strides from the finest on.

    It is used by one thread at a time, as it keeps the memory of its input.
    """

    def __init__(self, session: Any) -> None:
        """`session`: an onnxruntime.InferenceSession. Raises ValueError if it has another number of outputs."""
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = session.get_outputs()
        if len(outputs) not in STRIDES:
            raise ValueError(f"a detector with keypoints has 9 or 15 outputs, not {len(outputs)}")
        self._outputs = [each.name for each in outputs]
        self._anchors = ANCHORS[len(outputs)]
        self._planes: Floats = np.empty(0, np.float32)

    def forward(self, pixels: Pixels, threshold: float) -> tuple[Floats, Floats, Floats]:
        """The scores [N], boxes [N, 4] and keypoints [N, 5, 2], in pixels, of all that score `threshold` or more.

        `pixels` is uint8 BGR [H, W, 3], both sides multiples of the largest stride. Nothing is sorted or dropped.
        """
        width = pixels.shape[1]
        outputs = self._session.run(self._outputs, {self._input: _to_input(pixels, self._make_room(pixels))})
        strides = STRIDES[len(outputs)]
        levels = []
        for at, stride in enumerate(strides):
            # With a batch dimension there is one picture in the batch.
            scores, boxes, keypoints = (each.reshape(-1, each.shape[-1]) for each in outputs[at :: len(strides)])
            rows = np.flatnonzero(scores[:, 0] >= threshold)
            places = rows // self._anchors  # row by row
            centres = np.stack([places % (width // stride), places // (width // stride)], 1).astype(np.float32) * stride
            distances = boxes[rows] * stride
            corners = np.hstack([centres - distances[:, :2], centres + distances[:, 2:]])
            points = centres[:, None] + (keypoints[rows] * stride).reshape(-1, 5, 2)
            levels.append((scores[rows, 0], corners, points))
        scores, boxes, keypoints = (np.concatenate(each).astype(np.float32) for each in zip(*levels, strict=True))
        return scores, boxes, keypoints

    def _make_room(self, pixels: Pixels) -> Floats:
        """Memory for a picture as the network takes it; the same each time, but for a large picture's."""
        shape = (1, 3, *pixels.shape[:2])
        if pixels.size > MOST_KEPT:
            return np.empty(shape, np.float32)
        if self._planes.size < pixels.size:
            self._planes = np.empty(pixels.size, np.float32)
        return self._planes[: pixels.size].reshape(shape)


def _to_input(pixels: Pixels, planes: Floats) -> Floats:
    """A picture, uint8 BGR [H, W, 3], as the network takes it, in `planes`, float32 [1, 3, H, W], in RGB.

    What cv2.dnn.blobFromImage makes of it, to the bit, in an eighth of the time.
    """
    import cv2

    for plane, levels in zip(planes[0], reversed(cv2.split(pixels)), strict=True):
        np.subtract(levels, np.float32(MEAN), out=plane)
        plane *= np.float32(1 / SPREAD)
    return planes
