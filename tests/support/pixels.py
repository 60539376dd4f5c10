"""A picture's pixels, to compare two pictures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np


def read_pixels(file: bytes) -> np.ndarray[Any, np.dtype[np.int16]]:
    """A file's pixels, BGR, int16 [H, W, 3]: wide enough to subtract."""
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR), np.int16)
