"""Runs a detector of the SCRFD family (Guo et al., 2021) and decodes what it reports.

The same as `SCRFD.forward` of insightface, whose package asks for an OpenCV that needs a display, and imports onnx.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from functions.swap.values import Floats
from layers.media.picture import Pixels

MEAN, SPREAD = 127.5, 128.0  # of the input: (level - MEAN) / SPREAD
STRIDES = {9: (8, 16, 32), 15: (8, 16, 32, 64, 128)}  # pixels, by the number of outputs
ANCHORS = {9: 2, 15: 1}  # at each place, by the number of outputs


class Scrfd:
    """A network with scores, boxes and keypoints, in this order, each for all strides from the finest on."""

    def __init__(self, session: Any) -> None:
        """`session`: an onnxruntime.InferenceSession. Raises ValueError if it has another number of outputs."""
        self._session = session
        self._input = session.get_inputs()[0].name
        outputs = session.get_outputs()
        if len(outputs) not in STRIDES:
            raise ValueError(f"a detector with keypoints has 9 or 15 outputs, not {len(outputs)}")
        self._outputs = [each.name for each in outputs]
        self._centres: dict[tuple[int, int, int], Floats] = {}

    def forward(self, pixels: Pixels, threshold: float) -> tuple[Floats, Floats, Floats]:
        """The scores [N], boxes [N, 4] and keypoints [N, 5, 2], in pixels, of all that score `threshold` or more.

        `pixels` is uint8 BGR [H, W, 3], both sides multiples of the largest stride. Nothing is sorted or dropped.
        """
        import cv2

        height, width = pixels.shape[:2]
        blob = cv2.dnn.blobFromImage(pixels, 1 / SPREAD, (width, height), (MEAN, MEAN, MEAN), swapRB=True)
        outputs = self._session.run(self._outputs, {self._input: blob})
        strides = STRIDES[len(outputs)]
        levels = []
        for at, stride in enumerate(strides):
            # With a batch dimension there is one picture in the batch.
            scores, boxes, keypoints = (each.reshape(-1, each.shape[-1]) for each in outputs[at :: len(strides)])
            rows = np.flatnonzero(scores[:, 0] >= threshold)
            centres = self._list_centres(height // stride, width // stride, stride)[rows]
            distances = boxes[rows] * stride
            corners = np.hstack([centres - distances[:, :2], centres + distances[:, 2:]])
            points = centres[:, None] + (keypoints[rows] * stride).reshape(-1, 5, 2)
            levels.append((scores[rows, 0], corners, points))
        scores, boxes, keypoints = (np.concatenate(each).astype(np.float32) for each in zip(*levels, strict=True))
        return scores, boxes, keypoints

    def _list_centres(self, rows: int, columns: int, stride: int) -> Floats:
        """The anchors' centres (x, y) in pixels, float32 [rows x columns x anchors, 2]."""
        key = (rows, columns, stride)
        if key not in self._centres:
            y, x = np.mgrid[:rows, :columns]
            centres = (np.stack([x, y], axis=-1).reshape(-1, 2) * stride).astype(np.float32)
            self._centres[key] = centres.repeat(ANCHORS[len(self._outputs)], axis=0)
        return self._centres[key]
