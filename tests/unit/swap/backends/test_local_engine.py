"""The stack's own engine is fetched when it is the first to be asked, and runs a few crops at a time."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from functions.swap.backends.in_turn import Work, swap_in_turn
from functions.swap.backends.interfaces import Failed
from functions.swap.backends.local_engine import BATCH_SIZE, LocalEngine
from layers.core.deadline import Deadline
from layers.core.errors import InternalError, NotFound, OutOfTime
from layers.engine.crop_job import CropJob
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats
from tests.unit.swap.fake_stack import FakeModels, FakePendingSwapper, FlatSwapper


class Inverter(FlatSwapper):
    """Inverts crops; notes how many come together."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []

    def run(self, crops: Floats, latents: Floats) -> Floats:
        self.batches.append(len(crops))
        return 1 - crops


class Pending(FakePendingSwapper):
    def swapper(self, once: bool = False) -> FlatSwapper:
        cast(Models, self.models).once.append(once)
        return super().swapper(once)


class Models(FakeModels):
    """Notes whether the swapper was wanted once only."""

    def __init__(self) -> None:
        super().__init__()
        self.once: list[bool] = []
        self.inverter = self.swapper = Inverter()

    def start_swapper(self, deadline: Deadline, *, embedder_first: bool = False) -> FakePendingSwapper:
        self.pending.append(Pending(self))
        return self.pending[-1]


def start(models: FakeModels, seconds: float = 20.0, is_first: bool = True) -> LocalEngine:
    return LocalEngine(cast(Any, models), Deadline.after(seconds), is_first=is_first)


def work(count: int) -> Work:
    crops = np.random.default_rng(count).integers(0, 256, (count, 128, 128, 3)).astype(np.uint8)
    return Work("5" * 64, crops, np.ones((count, 512), np.float32))


def test_the_download_starts_at_once_where_it_is_the_first_and_only_when_needed_where_it_is_not() -> None:
    first, later = Models(), Models()
    start(first)
    engine = start(later, is_first=False)
    assert (len(first.pending), len(later.pending)) == (1, 0)
    assert engine.drop() == 0, "nothing was fetched in vain"
    swap_in_turn([engine], work(1), Deadline.after(20))
    assert len(later.pending) == 1


@pytest.mark.parametrize(
    ("count", "batches", "once"), [(1, [1], True), (BATCH_SIZE, [4], True), (2 * BATCH_SIZE + 1, [4, 4, 1], False)]
)
def test_crops_go_through_a_few_at_a_time_and_only_weights_that_are_used_once_through_a_window(
    count: int, batches: list[int], once: bool
) -> None:
    models, heard, many = Models(), list[int](), work(count)
    swapped = swap_in_turn([start(models)], many, Deadline.after(20), check=heard.append)
    assert np.abs(swapped.crops.astype(int) - (255 - many.crops)).max() <= 1
    assert (models.inverter.batches, models.once) == (batches, [once])
    assert heard == [4 * number for number in range(len(batches))]
    assert (swapped.engine, swapped.use, swapped.failure) == (Inverter.name, None, None)


def test_what_ends_the_request_ends_it_between_two_batches() -> None:
    models = Models()

    def check(done: int) -> None:
        if done:
            raise NotFound("It was deleted.")

    with pytest.raises(NotFound):
        swap_in_turn([start(models)], work(9), Deadline.after(20), check=check)
    assert models.inverter.batches == [4]
    with pytest.raises(OutOfTime):
        swap_in_turn([start(models)], work(9), Deadline.after(-1))
    assert models.inverter.batches == [4]


def test_an_answer_that_the_last_one_does_not_stand_by_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: LocalEngine, job: CropJob, answer: Pixels) -> Failed:
        return Failed("provider_failed", "What it made has another size.")

    monkeypatch.setattr(LocalEngine, "verify", refuse)
    with pytest.raises(InternalError):
        swap_in_turn([start(Models())], work(1), Deadline.after(20))
