"""Cuts: where a moving picture shows something else all at once."""

from __future__ import annotations

import statistics
from collections import deque

import cv2
import numpy as np

from layers.media.picture import Pixels

SIDES = (64, 36)  # pixels to which frames are shrunk
LEAST = 30.0  # levels of mean difference; a smaller one is no cut
RATIO = 3.0  # by which a cut stands out from the differences before it
WINDOW = 15  # of these


class CutDetector:
    """Compares each frame with the one before."""

    def __init__(self) -> None:
        self._last: Pixels | None = None
        self._differences: deque[float] = deque(maxlen=WINDOW)

    def is_cut(self, grey: Pixels) -> bool:
        """Whether a new shot begins with this frame, uint8 [H, W]; not for the first one."""
        small = np.asarray(cv2.resize(grey, SIDES, interpolation=cv2.INTER_AREA), np.uint8)
        last, self._last = self._last, small
        if last is None:
            return False
        difference = float(cv2.absdiff(small, last).mean())
        usual = statistics.median(self._differences) if self._differences else 0.0
        if difference > LEAST and difference > RATIO * usual:
            self._differences.clear()
            return True
        self._differences.append(difference)
        return False
