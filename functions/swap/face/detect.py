"""Faces in a picture, by insightface's SCRFD on a session of ours."""

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

# Quarter turns that make a face on its side, or upside down, upright: OpenCV's code by how often it turns clockwise.
TURNS = {1: cv2.ROTATE_90_CLOCKWISE, 3: cv2.ROTATE_90_COUNTERCLOCKWISE, 2: cv2.ROTATE_180}
MIN_SIDE = 8  # pixels of the shorter side as the detector sees it; less shows no face


class Detector:
    """Finds faces with one onnxruntime session of the SCRFD family (det_500m, det_10g)."""

    def __init__(self, session: Any, size: int) -> None:
        """`size`: the square in pixels that pictures are fitted into; a multiple of 32."""
        self._scrfd = scrfd().SCRFD(session=session)
        self._size = size

    def find(self, pixels: Pixels, deadline: Deadline) -> list[Face]:
        """The faces of a picture (uint8 BGR [H, W, 3]), numbered from left to right.

        Where none is seen, turned pictures are looked at too, and the turn whose best face scores highest is taken.
        Raises OutOfTime.
        """
        height, width = pixels.shape[:2]
        scale = self._size / max(height, width)
        if min(height, width) * scale < MIN_SIDE:
            return []
        deadline.check("looking for faces")
        boxes, keypoints = self._look(pixels)
        if not len(boxes):
            size = (max(round(width * scale), 1), max(round(height * scale), 1))
            small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
            for turn, code in TURNS.items():
                deadline.check("looking for faces")
                turned = self._look(np.asarray(cv2.rotate(small, code), np.uint8))
                if len(turned[0]) and turned[0][:, 4].max() > boxes[:, 4].max(initial=0.0):
                    boxes, keypoints = rotate_back(*turned, turn, *size)
            stretch = np.array([width / size[0], height / size[1]], np.float32)
            boxes[:, :4] *= np.tile(stretch, 2)
            keypoints *= stretch
        return number_faces(boxes, keypoints)

    def _look(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """float32 [N, 5] x0, y0, x1, y1, score and [N, 5, 2] keypoints."""
        boxes, keypoints = self._scrfd.detect(pixels, input_size=(self._size, self._size))
        sane = np.isfinite(boxes).all(1) & np.isfinite(keypoints).all((1, 2))
        return boxes[sane].astype(np.float32), keypoints[sane].astype(np.float32)


def rotate_back(boxes: Floats, keypoints: Floats, turn: int, width: int, height: int) -> tuple[Floats, Floats]:
    """Boxes [N, 5] and keypoints [N, 5, 2] of a picture turned clockwise `turn` times, in the picture of that size."""
    corners = np.stack([boxes[:, :2], boxes[:, 2:4]], 1)
    upright = [_points_back(points, turn, width, height) for points in (corners, keypoints)]
    low, high = upright[0].min(1), upright[0].max(1)
    return np.concatenate([low, high, boxes[:, 4:]], 1).astype(np.float32), upright[1]


def _points_back(points: Floats, turn: int, width: int, height: int) -> Floats:
    x, y = points[..., 0], points[..., 1]
    back = {0: (x, y), 1: (y, height - 1 - x), 2: (width - 1 - x, height - 1 - y), 3: (width - 1 - y, x)}[turn]
    return np.stack(back, -1).astype(np.float32)


def number_faces(boxes: Floats, keypoints: Floats) -> list[Face]:
    """Faces in the order of their boxes' middles, from left to right."""
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


def find_largest(faces: list[Face]) -> Face:
    """The face with the largest box; of equals the first."""
    return max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1]))


@cache
def scrfd() -> ModuleType:
    """insightface.model_zoo.scrfd, without running the __init__ of the packages around it.

    Those import scipy, scikit-image and all other models (a third of a second, 60 MB), none of which detection uses.
    Packages of the same names, empty but for where their modules lie, stand in while it is imported.
    """
    name = "insightface.model_zoo.scrfd"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.find_spec("insightface")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("insightface is not installed", name="insightface")
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as its own __init__ does before onnxruntime starts
    stand_ins: dict[str, ModuleType] = {}
    for package, folder in (("insightface", ""), ("insightface.model_zoo", "model_zoo")):
        if package not in sys.modules:
            stand_ins[package] = ModuleType(package)
            stand_ins[package].__path__ = [str(Path(found.submodule_search_locations[0]) / folder)]
    sys.modules.update(stand_ins)
    try:
        return importlib.import_module(name)
    finally:
        # A later `import insightface` gets the real packages.
        for package in stand_ins:
            del sys.modules[package]
