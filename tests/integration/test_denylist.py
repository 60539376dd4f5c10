"""The denylist in the deployed stack: edited by the operator, in effect for every caller at the next request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from functions.swap.safeguards.denylist import KEY
from layers.core.errors import FaceRefused, SafeguardFailed
from tests.integration.test_callers import CALLERS, MEME
from tests.support.pixels import read_pixels
from tests.support.swap_client import SwapClient
from tools.denylist import DenylistFile, Embedding, add

THRESHOLD = 0.7  # of these very pictures


@pytest.fixture
def denylist(stack: SwapClient, s3: Any) -> Iterator[DenylistFile]:
    """An empty denylist; what the test adds is removed afterwards."""
    bucket = stack.cloud.bucket("models")
    yield DenylistFile(s3, bucket)
    s3.delete_object(Bucket=bucket, Key=KEY)


@pytest.mark.parametrize("caller", CALLERS)
def test_who_is_listed_is_neither_put_in_nor_replaced(
    stack: SwapClient, s3: Any, denylist: DenylistFile, pictures: dict[str, Path], caller: str
) -> None:
    meme, ruby = pictures[MEME].read_bytes(), stack.upload(pictures["ruby"].read_bytes())
    embedding = Embedding(s3, stack.cloud.bucket("models"))
    assert (before := stack.swap(caller, meme, ruby)).result, before

    add(denylist, embedding, "ruby", [pictures["ruby"]], THRESHOLD)
    assert stack.swap(caller, meme, ruby).code == FaceRefused.code
    assert (other := stack.swap(caller, meme)).result, other
    assert [face["swapped"] for face in other.result["faces"]] == [True]

    add(denylist, embedding, "who the meme shows", [pictures[MEME]])
    left = stack.swap(caller, meme)
    assert left.result, left
    assert [(face["swapped"], face["reason"]) for face in left.result["faces"]] == [(False, "refused")]
    assert abs(read_pixels(left.picture) - read_pixels(meme)).mean() < 2  # JPEG again, no more


def test_a_damaged_list_stops_every_caller(
    stack: SwapClient, s3: Any, denylist: DenylistFile, pictures: dict[str, Path]
) -> None:
    s3.put_object(Bucket=stack.cloud.bucket("models"), Key=KEY, Body=b"{")
    for caller in CALLERS:
        assert stack.swap(caller, pictures[MEME].read_bytes()).code == SafeguardFailed.code
