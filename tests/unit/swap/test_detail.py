"""How much is done for sharpness: what a request asks for, however it comes, and what its result says."""

from __future__ import annotations

import pytest

from tests.unit.swap.fake_stack import FakeSwapStack
from tests.unit.swap.test_sources import CALLERS, MEME, Swap, create_stack


@pytest.fixture
def stack() -> FakeSwapStack:
    return create_stack()


@pytest.mark.parametrize("caller", CALLERS)
def test_the_result_says_how_much_was_done_for_sharpness(
    stack: FakeSwapStack, monkeypatch: pytest.MonkeyPatch, caller: Swap
) -> None:
    assert caller(stack, {"meme": MEME, "faces": [0], "detail": "fast"}, monkeypatch)["detail"] == "fast"
    assert caller(stack, {"meme": MEME, "faces": [0]}, monkeypatch)["detail"] == "balanced"
