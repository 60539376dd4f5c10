"""At true size: the results of insightface, in a fraction of its memory."""

from __future__ import annotations

import pytest

from tests.bench.bench import FOLDER, measure, prepare

pytestmark = pytest.mark.full


def test_whole_function_equals_insightface_below_512_mb() -> None:
    prepare(FOLDER)
    report = measure(1, ["full_speed"], memory_mb=512)
    assert report["parity"]["embedding_cosine"] > 0.9999
    assert report["parity"]["swap_levels"] <= 2
    assert report["parity"]["swap_changed_levels"] > 20  # the swap did something to compare
    costs = report["full_speed"]
    for arm in ("ours", "ours_default_face"):
        assert costs[arm]["warm_peak_mb"] < 512
        assert costs[arm]["warm_peak_mb"] < 0.5 * costs["naive"]["warm_peak_mb"]
    assert costs["ours_windowed"]["warm_peak_mb"] < 0.9 * costs["ours_default_face"]["warm_peak_mb"]
    assert costs["ours_default_face"]["model_bytes"] < costs["ours"]["model_bytes"] < costs["naive"]["model_bytes"]
