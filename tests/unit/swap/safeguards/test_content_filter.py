"""The content filter: an ONNX classifier of the operator's, where the pack has one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.swap.safeguards.content_filter import ContentFilter
from functions.swap.values import SwapRequest
from layers.core.errors import ContentRefused, SafeguardFailed
from layers.engine.session import session
from tests.unit.swap.entry_clients import CALLERS
from tests.unit.swap.fake_stack import OUTPUTS, UPLOADS, FakeContext, FakeSwapStack, drawing, encode, settings
from tests.unit.swap.networks import FixedClassifier, classifier
from tests.unit.swap.test_pipeline import MEME, swap


@pytest.fixture
def stack() -> FakeSwapStack:
    return FakeSwapStack()


def install_filter(stack: FakeSwapStack, path: Path, **options: Any) -> None:
    stack.models.digests["gate"] = "9" * 64
    stack.models.classifier = session(classifier(path / "gate.onnx", **options).read_bytes(), 1)


def flat_picture(blue: int, green: int, red: int, height: int = 40, width: int = 70) -> Any:
    return np.full((height, width, 3), (blue, green, red), np.uint8)


@pytest.mark.parametrize("outputs", [1, 2])
def test_the_picture_is_seen_whole_in_rgb_and_refused_from_the_threshold_on(tmp_path: Path, outputs: int) -> None:
    content_filter = ContentFilter(session(classifier(tmp_path / "g.onnx", outputs=outputs).read_bytes(), 1), 0.6)
    content_filter.check(flat_picture(255, 255, 150))
    half = flat_picture(0, 0, 255)
    half[:, :35] = 0  # half of it is red
    content_filter.check(half)
    with pytest.raises(ContentRefused):
        content_filter.check(flat_picture(0, 0, 156))


@pytest.mark.parametrize(("level", "dark"), [(0, False), (255, True)])
def test_what_shows_only_through_transparency_is_seen(tmp_path: Path, level: int, dark: bool) -> None:
    """Harmless pixels that a viewer's white or black ground makes harmful: here, bright or dark."""
    content_filter = ContentFilter(session(classifier(tmp_path / "g.onnx", dark=dark).read_bytes(), 1), 0.6)
    pixels = flat_picture(level, level, level)
    content_filter.check(pixels)
    content_filter.check(pixels, np.full(pixels.shape[:2], 255, np.uint8))
    with pytest.raises(ContentRefused):
        content_filter.check(pixels, np.full(pixels.shape[:2], 60, np.uint8))
    assert (pixels == level).all()


def test_without_one_the_result_says_so(stack: FakeSwapStack) -> None:
    assert swap(stack, SwapRequest(MEME)).gate == "none"


def test_what_passes_names_the_classifier(stack: FakeSwapStack, tmp_path: Path) -> None:
    install_filter(stack, tmp_path)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(pale_drawing()))
    stack.storage.put(UPLOADS, "requests/1/face", encode(pale_drawing()))
    result = swap(stack, SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/face"))
    assert result.gate == "9" * 64
    assert result.models["gate"] == "9" * 64
    assert "gate" in result.timings_ms


@pytest.mark.parametrize("caller", CALLERS)
def test_a_refused_meme_is_refused_to_every_caller(
    stack: FakeSwapStack, caller: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install_filter(stack, tmp_path)  # the drawing is rather bright

    refusal = CALLERS[caller](stack, {"meme": MEME}, monkeypatch, FakeContext())

    assert (refusal.code, refusal.retryable) == (ContentRefused.code, False)
    assert refusal.detail.startswith("About meme: ")
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS and not key.endswith(".json")]
    assert stack.models.pending[-1].dropped


@pytest.mark.parametrize("is_cached", [False, True])
def test_a_refused_face_is_refused_also_where_its_latent_is_kept(
    stack: FakeSwapStack, tmp_path: Path, is_cached: bool
) -> None:
    stack.settings = settings(cache_latents=True)
    stack.storage.put(UPLOADS, "requests/1/meme", encode(pale_drawing()))
    stack.storage.put(UPLOADS, "requests/1/face", encode(drawing()))
    request = SwapRequest(MEME, face=f"s3://{UPLOADS}/requests/1/face")
    if is_cached:
        swap(stack, request)
    install_filter(stack, tmp_path)
    with pytest.raises(ContentRefused, match=r"^About face: "):
        swap(stack, request)


def pale_drawing() -> Any:
    """The drawing without red in its ground."""
    pixels = drawing()
    pixels[(pixels == (150, 170, 190)).all(2), 2] = 20
    return pixels


@pytest.mark.parametrize(
    "output", [np.nan, np.inf, -0.1, 1.5, [], RuntimeError("out of memory")], ids=lambda output: repr(output)[:20]
)
def test_a_gate_that_fails_lets_nothing_through(stack: FakeSwapStack, output: Any) -> None:
    stack.models.digests["gate"] = "9" * 64
    stack.models.classifier = FixedClassifier(output)
    with pytest.raises(SafeguardFailed):
        swap(stack, SwapRequest(MEME))
    assert not [key for bucket, key in stack.storage.objects if bucket == OUTPUTS]
