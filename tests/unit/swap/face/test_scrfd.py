"""What a detector reports, against insightface's class on the same session."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insightface.model_zoo.scrfd import SCRFD

from functions.swap.face.scrfd import InsightfaceScrfd, OwnScrfd, wrap_session
from layers.engine.session import session
from local.demo_pack import memes


@pytest.fixture(scope="module")
def detector() -> Any:
    return session(Path(memes.__file__).with_name("detector.onnx").read_bytes(), 1)


@pytest.mark.parametrize("size", [(192, 320), (64, 64)])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 2.0])
def test_scores_boxes_and_keypoints_are_insightfaces(detector: Any, size: tuple[int, int], threshold: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = [np.concatenate(each) for each in SCRFD(session=detector).forward(pixels, threshold)]

    scores, boxes, keypoints = OwnScrfd(detector).forward(pixels, threshold)
    by_insightface = wrap_session(detector)

    assert isinstance(by_insightface, InsightfaceScrfd)
    for each, other in zip((scores, boxes, keypoints), by_insightface.forward(pixels, threshold), strict=True):
        assert each.dtype == other.dtype
        assert np.array_equal(each, other)
    assert {each.dtype for each in (scores, boxes, keypoints)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(scores, expected[0].reshape(-1))
    np.testing.assert_array_equal(boxes, expected[1])
    np.testing.assert_array_equal(keypoints, expected[2])
    assert len(scores) == {0.0: 42 * size[0] * size[1] // 1024, 2.0: 0}.get(threshold, len(scores))


def test_a_detector_without_keypoints_is_refused() -> None:
    class NoKeypoints:
        def get_inputs(self) -> list[Any]:
            return [type("Input", (), {"name": "input.1"})]

        def get_outputs(self) -> list[Any]:
            return [type("Output", (), {"name": "448"})] * 6

    with pytest.raises(ValueError, match="9 or 15 outputs, not 6"):
        OwnScrfd(NoKeypoints())


def test_insightfaces_scrfd_comes_without_the_packages_around_it() -> None:
    code = """
import sys
from functions.swap.face.scrfd import insightface_scrfd
scrfd = insightface_scrfd()
assert scrfd and insightface_scrfd() is scrfd
heavy = {"scipy", "skimage", "insightface", "insightface.app", "insightface.model_zoo.inswapper"} & set(sys.modules)
assert not heavy, heavy
import insightface.app
assert insightface.app.FaceAnalysis and insightface.model_zoo.get_model
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_without_insightface_the_output_is_decoded_here(detector: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.swap.face.scrfd.insightface_scrfd", lambda: None)

    assert isinstance(wrap_session(detector), OwnScrfd)
