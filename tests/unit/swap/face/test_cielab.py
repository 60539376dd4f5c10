"""CIELAB against OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np

from functions.swap.face import cielab

LEVELS = np.arange(0, 256, 5, dtype=np.uint8)
COLOURS = np.stack(np.meshgrid(LEVELS, LEVELS, LEVELS), -1).reshape(-1, 52, 3)


def test_lab_is_opencvs() -> None:
    expected = cv2.cvtColor(COLOURS.astype(np.float32) / 255, cv2.COLOR_BGR2LAB)

    # OpenCV interpolates between tabled values.
    assert np.abs(cielab.bgr_to_lab(COLOURS) - expected).max() < 0.5


def test_colours_come_back() -> None:
    assert np.abs(cielab.lab_to_bgr(cielab.bgr_to_lab(COLOURS)).astype(int) - COLOURS).max() <= 1


def test_impossible_colours_are_cut_off() -> None:
    far = np.array([[[50, 500, -500], [-50, 0, 0], [150, 0, 0], [50, -500, 500]]], np.float32)

    shown = cielab.lab_to_bgr(far)

    assert shown[0, 1].tolist() == [0, 0, 0]
    assert shown[0, 2].tolist() == [255, 255, 255]
    assert shown[0, 0, 1] == 0
