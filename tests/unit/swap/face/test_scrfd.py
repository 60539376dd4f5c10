"""What a detector reports, against insightface's class on the same session."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from insightface.model_zoo.scrfd import SCRFD

from functions.swap.face.scrfd import Scrfd
from functions.swap.values import Floats
from layers.engine.session import small_session
from layers.media.picture import Pixels
from local.demo_pack import memes


@pytest.fixture(scope="module")
def detector() -> Any:
    return small_session(Path(memes.__file__).with_name("detector.onnx").read_bytes(), 1)


@pytest.mark.parametrize("size", [(192, 320), (64, 64)])
@pytest.mark.parametrize("threshold", [0.0, 0.02, 2.0])
def test_scores_boxes_and_keypoints_are_insightfaces(detector: Any, size: tuple[int, int], threshold: float) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    expected = [np.concatenate(each) for each in SCRFD(session=detector).forward(pixels, threshold)]

    scores, boxes, keypoints = Scrfd(detector).forward(pixels, threshold)

    assert {each.dtype for each in (scores, boxes, keypoints)} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(scores, expected[0].reshape(-1))
    np.testing.assert_array_equal(boxes, expected[1])
    np.testing.assert_array_equal(keypoints, expected[2])
    assert len(scores) == {0.0: 42 * size[0] * size[1] // 1024, 2.0: 0}.get(threshold, len(scores))


def test_detectors_in_two_threads_may_share_a_session(detector: Any) -> None:
    rng = np.random.default_rng(2)
    pictures = [rng.integers(0, 256, (side, side, 3), np.uint8) for side in (256, 320)]
    expected = [Scrfd(detector).forward(pixels, 0.0) for pixels in pictures]

    def repeat(pixels: Pixels) -> list[tuple[Floats, Floats, Floats]]:
        scrfd = Scrfd(detector)
        return [scrfd.forward(pixels, 0.0) for _ in range(5)]

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(repeat, pictures))

    for alone, several in zip(expected, results, strict=True):
        for together in several:
            for one, other in zip(together, alone, strict=True):
                np.testing.assert_array_equal(one, other)


def test_a_detector_without_keypoints_is_refused() -> None:
    class NoKeypoints:
        def get_inputs(self) -> list[Any]:
            return [type("Input", (), {"name": "input.1"})]

        def get_outputs(self) -> list[Any]:
            return [type("Output", (), {"name": "448"})] * 6

    with pytest.raises(ValueError, match="9 or 15 outputs, not 6"):
        Scrfd(NoKeypoints())
