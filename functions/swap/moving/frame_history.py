"""The last frames of a shot, from which a face is followed back to where it came out from behind something."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np

from layers.media.picture import Pixels

MOST_BYTES = 48 << 20  # eight frames of 1080p
MOST_FRAMES = 16


class FrameHistory:
    """Frames by number, the newest of them only; they are not copied."""

    def __init__(self) -> None:
        self._frames: deque[tuple[int, Pixels]] = deque(maxlen=MOST_FRAMES)

    def add(self, number: int, pixels: Pixels) -> None:
        """Keep a frame, uint8 BGR [H, W, 3]."""
        self._frames.append((number, pixels))
        while len(self._frames) > 2 and sum(frame.nbytes for _, frame in self._frames) > MOST_BYTES:
            self._frames.popleft()

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def find(self, number: int) -> Pixels | None:
        """The frame of that number, if it is still kept."""
        return next((frame for other, frame in self._frames if other == number), None)

    def find_grey(self, number: int) -> Pixels | None:
        """The same without colour, uint8 [H, W]."""
        frame = self.find(number)
        return None if frame is None else np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY), np.uint8)
