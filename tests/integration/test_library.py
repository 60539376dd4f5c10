"""The library beside the deployed stack: one use case, so one result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from coldswap import swap, workspace
from layers.core import telemetry
from layers.core.cpu_count import thread_count
from local.swap_clients import data_uri, download
from tests.support.swap_client import SwapClient

SANDBOX = {"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}  # the template's default


@pytest.fixture
def _as_in_the_stack(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user of this test, and as many threads as the stack's sandboxes have: their number decides how sums round."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(telemetry, "_chosen_loggers", [])
    monkeypatch.setattr(workspace, "thread_count", lambda _: thread_count(SANDBOX))


@pytest.mark.usefixtures("_as_in_the_stack")
@pytest.mark.parametrize(
    ("meme", "options"),
    [
        ("works-on-my-machine", {}),
        ("the-bill", {"faces": [0], "format": "png", "color_match": False, "detail": "fast", "badge": True}),
    ],
)
def test_a_swap_has_the_pixels_and_the_facts_of_the_apis(
    stack: SwapClient, pictures: dict[str, Path], meme: str, options: dict[str, Any]
) -> None:
    request = {"face": data_uri(pictures["ruby"]), "meme": data_uri(pictures[meme]), **options}
    response = stack.cloud.request("POST", "/swap", request)
    assert response.status_code == 200, response.text
    theirs = response.json()

    result = swap(pictures["ruby"], pictures[meme], **options, color_order="BGR")

    expected = cv2.imdecode(np.frombuffer(download(theirs["url"]), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(result.pixels, np.asarray(expected))
    for name in ("faces", "content_type", "width", "height", "engine", "models", "detail", "notes"):
        assert result.facts[name] == theirs[name]
