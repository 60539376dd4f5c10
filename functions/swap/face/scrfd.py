"""Runs a detector of the SCRFD family (Guo et al., 2021): by insightface where it is installed, as in the image.

What pip installs cannot depend on insightface, whose package asks for an OpenCV that needs a display. There, the same
is done here, to the bit.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from functions.swap.values import Floats
from layers.media.picture import Pixels

MEAN, SPREAD = 127.5, 128.0  # of the input: (level - MEAN) / SPREAD
STRIDES = {9: (8, 16, 32), 15: (8, 16, 32, 64, 128)}  # pixels, by the number of outputs
ANCHORS = {9: 2, 15: 1}  # at each place, by the number of outputs


class Scrfd(Protocol):
    """A network with scores, boxes and keypoints."""

    def forward(self, pixels: Pixels, threshold: float) -> tuple[Floats, Floats, Floats]:
        """The scores [N], boxes [N, 4] and keypoints [N, 5, 2], in pixels, of all that score `threshold` or more.

        `pixels` is uint8 BGR [H, W, 3], both sides multiples of the largest stride. Nothing is sorted or dropped.
        """


def wrap_session(session: Any) -> Scrfd:
    """A detector on an onnxruntime.InferenceSession. Raises ValueError if it is none of this family."""
    module = insightface_scrfd()
    return InsightfaceScrfd(module.SCRFD(session=session)) if module else OwnScrfd(session)


@cache
def insightface_scrfd() -> ModuleType | None:
    """Import insightface.model_zoo.scrfd, if it is installed, without running the __init__ of its parent packages.

    These import scipy, scikit-image and all other models (a third of a second, 60 MB), none of which detection uses.
    During the import, empty packages of the same names, with the same paths, take their place.
    """
    name = "insightface.model_zoo.scrfd"
    if name in sys.modules:
        return sys.modules[name]
    with suppress(ImportError):
        return _import_alone(name)
    return None  # not installed, or without what it needs, as onnx


def _import_alone(name: str) -> ModuleType | None:
    spec = importlib.util.find_spec("insightface")
    if spec is None or not spec.submodule_search_locations:
        return None
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as its own __init__ does before onnxruntime starts
    stand_ins: dict[str, ModuleType] = {}
    for package, folder in (("insightface", ""), ("insightface.model_zoo", "model_zoo")):
        if package not in sys.modules:
            stand_ins[package] = ModuleType(package)
            stand_ins[package].__path__ = [str(Path(spec.submodule_search_locations[0]) / folder)]
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module(name)
    finally:
        # A later `import insightface` gets the real packages.
        for package in stand_ins:
            del sys.modules[package]


class InsightfaceScrfd:
    """insightface's own class."""

    def __init__(self, scrfd: Any) -> None:
        """`scrfd`: an insightface.model_zoo.scrfd.SCRFD."""
        self._scrfd = scrfd

    def forward(self, pixels: Pixels, threshold: float) -> tuple[Floats, Floats, Floats]:
        """See Scrfd."""
        by_stride = self._scrfd.forward(pixels, threshold)
        scores, boxes, keypoints = (np.concatenate(each).astype(np.float32) for each in by_stride)
        return scores.reshape(-1), boxes, keypoints


class OwnScrfd:
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
        """See Scrfd."""
        height, width = pixels.shape[:2]
        outputs = self._session.run(self._outputs, {self._input: _to_input(pixels)})
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


def _to_input(pixels: Pixels) -> Floats:
    """A picture, uint8 BGR [H, W, 3], as the network takes it, float32 [1, 3, H, W] in RGB.

    What cv2.dnn.blobFromImage makes of it, to the bit, in an eighth of the time.
    """
    import cv2

    planes = np.empty((1, 3, *pixels.shape[:2]), np.float32)
    for plane, levels in zip(planes[0], reversed(cv2.split(pixels)), strict=True):
        np.subtract(levels, np.float32(MEAN), out=plane)
        plane *= np.float32(1 / SPREAD)
    return planes
