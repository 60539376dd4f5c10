"""Face detection: insightface's SCRFD on an onnxruntime session of our own."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from functions.swap.values import Face, Floats
from layers.core.deadline import Deadline
from layers.media.picture import Pixels

# Quarter turns clockwise that put a face upright that is on its side or upside down, and OpenCV's code for each.
TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 3: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180}
MIN_SIDE = 8  # pixels of the shorter side as the detector sees it; no face fits into less


class Detector:
    """Finds faces with one onnxruntime session of the SCRFD family (det_500m, det_10g)."""

    def __init__(self, session: Any, size: int) -> None:
        """`size`: side in pixels of the square that pictures are fitted into; a multiple of 32."""
        self._scrfd = scrfd().SCRFD(session=session)
        self._size = size

    def find(self, pixels: Pixels, deadline: Deadline) -> list[Face]:
        """The faces of a picture (uint8 BGR [H, W, 3]), numbered from left to right.

        If there is none, the picture is turned too, and the turn whose best face scores highest counts.
        Raises OutOfTime.
        """
        height, width = pixels.shape[:2]
        scale = self._size / max(height, width)
        if min(height, width) * scale < MIN_SIDE:
            return []
        deadline.check("looking for faces")
        boxes, keypoints = self._detect(pixels)
        if not len(boxes):
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            for turn, code in TURNS.items():
                deadline.check("looking for faces")
                turned_boxes, turned_keypoints = self._detect(np.asarray(cv2.rotate(small, code), np.uint8))
                if len(turned_boxes) and turned_boxes[:, 4].max() > boxes[:, 4].max(initial=0.0):
                    boxes, keypoints = rotate_back(turned_boxes, turned_keypoints, turn, *size)
            stretch = np.array([width / size[0], height / size[1]], np.float32)
            boxes[:, :4] *= np.tile(stretch, 2)
            keypoints *= stretch
        return number_faces(boxes, keypoints)

    def _detect(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Boxes, float32 [N, 5] (x0, y0, x1, y1, score), and keypoints, float32 [N, 5, 2]."""
        boxes, keypoints = self._scrfd.detect(pixels, input_size=(self._size, self._size))
        finite = np.isfinite(boxes).all(1) & np.isfinite(keypoints).all((1, 2))
        return boxes[finite].astype(np.float32), keypoints[finite].astype(np.float32)


def rotate_back(boxes: Floats, keypoints: Floats, turn: int, width: int, height: int) -> tuple[Floats, Floats]:
    """Map boxes [N, 5] and keypoints [N, 5, 2] from a picture turned clockwise `turn` times to the picture before it
    was turned, which has that size."""
    corners = np.stack([boxes[:, :2], boxes[:, 2:4]], 1)
    upright = [_rotate_points_back(points, turn, width, height) for points in (corners, keypoints)]
    low, high = upright[0].min(1), upright[0].max(1)
    return np.concatenate([low, high, boxes[:, 4:]], 1).astype(np.float32), upright[1]


def _rotate_points_back(points: Floats, turn: int, width: int, height: int) -> Floats:
    x, y = points[..., 0], points[..., 1]
    back = {0: (x, y), 1: (y, height - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (width - 1 - y, x)}[turn]
    return np.stack(back, -1).astype(np.float32)


def number_faces(boxes: Floats, keypoints: Floats) -> list[Face]:
    """Faces from left to right, by the centres of their boxes [N, 5], with their keypoints [N, 5, 2]."""
    order = np.argsort(boxes[:, 0] + boxes[:, 2], kind="stable")
    return [
        Face(
            index=index,
            box=(float(boxes[at, 0]), float(boxes[at, 1]), float(boxes[at, 2]), float(boxes[at, 3])),
            keypoints=keypoints[at],
            score=float(boxes[at, 4]),
        )
        for index, at in enumerate(order)
    ]


def sort_by_size(faces: list[Face]) -> list[Face]:
    """The faces by the area of their boxes, the largest first; equal ones stay in their order."""
    return sorted(faces, key=lambda face: face.area, reverse=True)


def find_largest(faces: list[Face]) -> Face:
    """The face with the largest box; of equal ones the first."""
    return sort_by_size(faces)[0]


@cache
def scrfd() -> ModuleType:
    """Import insightface.model_zoo.scrfd without running the __init__ of its parent packages.

    These import scipy, scikit-image and all other models (a third of a second, 60 MB), none of which detection uses.
    During the import, empty packages of the same names, with the same paths, take their place.
    """
    name = "insightface.model_zoo.scrfd"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.find_spec("insightface")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("insightface is not installed", name="insightface")
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
