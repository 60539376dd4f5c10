"""Slots: as many as allowed, never lost, and never two for one task."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from functions.video.tasks.slots import ENDING_SECONDS, LEASE_SECONDS, Slots
from layers.core.errors import AtCapacity, ColdswapError, StorageFailed
from layers.core.fair_share import CONTENTION_SECONDS
from tests.support.clock import Clock


@pytest.fixture
def slots(dynamodb: Any, table: str, clock: Clock) -> Slots:
    return Slots(table, 2, lambda: dynamodb, clock)


def test_one_more_than_allowed_is_told_when_to_come_again(slots: Slots, clock: Clock) -> None:
    slots.take("a", "ann")
    clock.at += LEASE_SECONDS - 20
    slots.take("b", "ann")

    with pytest.raises(AtCapacity) as refusal:
        slots.take("c", "ann")

    assert refusal.value.extra["retry_after"] == 20, "when the oldest lease ends"


def test_nobody_is_asked_to_wait_for_longer_than_a_minute(slots: Slots) -> None:
    slots.take("a", "ann")
    slots.take("b", "ann")

    with pytest.raises(AtCapacity) as refusal:
        slots.take("c", "ann")

    assert refusal.value.extra["retry_after"] == 60


def test_what_is_freed_can_be_taken(slots: Slots) -> None:
    slots.take("a", "ann")
    slots.take("b", "ann")
    slots.free("a")

    slots.take("c", "ann")
    with pytest.raises(AtCapacity):
        slots.take("a", "ann")


def test_the_same_task_holds_one_slot_however_often_it_asks(slots: Slots) -> None:
    for _ in range(3):
        slots.take("a", "ann")

    slots.take("b", "ann")


def test_a_lease_ends_by_itself_unless_it_is_renewed(slots: Slots, clock: Clock) -> None:
    slots.take("dead", "ann")
    slots.take("alive", "ann")
    clock.at += LEASE_SECONDS - 1
    assert slots.renew("alive")
    clock.at += 1

    slots.take("next", "ann")

    assert not slots.renew("dead"), "another task has its slot"
    with pytest.raises(AtCapacity):
        slots.take("dead", "ann")


def test_an_expired_lease_that_nobody_took_is_renewed(slots: Slots, clock: Clock) -> None:
    slots.take("a", "ann")
    clock.at += LEASE_SECONDS + 100

    assert slots.renew("a")


def test_only_the_holder_frees_a_slot(slots: Slots, clock: Clock) -> None:
    slots.take("late", "ann")
    clock.at += LEASE_SECONDS
    slots.take("b", "ann")
    slots.take("c", "ann")

    slots.free("late")

    with pytest.raises(AtCapacity):
        slots.take("d", "ann")


def test_of_many_at_once_as_many_as_allowed_get_one(dynamodb: Any, table: str) -> None:
    slots = Slots(table, 3, lambda: dynamodb, Clock())

    def takes(name: str) -> bool:
        try:
            slots.take(name, "ann")
        except AtCapacity:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(takes, [f"task-{number}" for number in range(8)]))

    assert results.count(True) == 3


def test_a_table_that_does_not_answer_is_an_error_that_a_retry_can_cure(dynamodb: Any) -> None:
    with pytest.raises(StorageFailed) as failure:
        Slots("no-such-table", 2, lambda: dynamodb).take("a", "ann")

    assert isinstance(failure.value, ColdswapError)
    assert failure.value.retryable


def test_while_another_asks_nobody_holds_more_than_half(dynamodb: Any, table: str, clock: Clock) -> None:
    slots = Slots(table, 4, lambda: dynamodb, clock)
    slots.take("b1", "ben")
    slots.take("a1", "ann")
    slots.take("a2", "ann")

    with pytest.raises(AtCapacity) as refusal:
        slots.take("a3", "ann")

    assert refusal.value.extra["retry_after"] > 0
    slots.take("a2", "ann")  # it has that one
    slots.take("b2", "ben")


def test_who_was_turned_away_gets_the_next_slot_that_is_free(slots: Slots) -> None:
    slots.take("a1", "ann")
    slots.take("a2", "ann")  # alone, one may have all
    with pytest.raises(AtCapacity):
        slots.take("b1", "ben")
    slots.free("a1")

    with pytest.raises(AtCapacity):
        slots.take("a3", "ann")
    slots.take("b1", "ben")


def test_who_no_longer_asks_keeps_nobody_from_a_slot(slots: Slots, clock: Clock) -> None:
    slots.take("b1", "ben")
    slots.free("b1")
    clock.at += CONTENTION_SECONDS

    slots.take("a1", "ann")
    slots.take("a2", "ann")


def test_a_lease_that_is_renewed_keeps_its_caller(dynamodb: Any, table: str, clock: Clock) -> None:
    slots = Slots(table, 2, lambda: dynamodb, clock)
    slots.take("a1", "ann")
    slots.renew("a1")
    slots.take("b1", "ben")
    slots.free("b1")

    with pytest.raises(AtCapacity):
        slots.take("a2", "ann")


def test_two_requests_of_one_caller_at_once_get_no_more_than_half(
    dynamodb: Any, table: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    slots = Slots(table, 2, lambda: dynamodb, clock)
    slots.take("b1", "ben")
    slots.free("b1")
    read_leases = slots._leases

    def read_before_the_other_came() -> Any:
        leases = read_leases()
        monkeypatch.setattr(slots, "_leases", read_leases)
        Slots(table, 2, lambda: dynamodb, clock)._lease(
            "slot#1", "a1", "ann", "attribute_not_exists(id) OR task_id = :me"
        )
        return leases

    monkeypatch.setattr(slots, "_leases", read_before_the_other_came)

    with pytest.raises(AtCapacity):
        slots.take("a2", "ann")
    slots.take("b2", "ben")


def test_a_slot_whose_task_was_cancelled_at_work_is_free_a_little_later(slots: Slots, clock: Clock) -> None:
    slots.take("a", "ann")
    slots.take("b", "ann")
    slots.shorten("a")
    with pytest.raises(AtCapacity):
        slots.take("c", "ann")

    clock.at += ENDING_SECONDS

    slots.take("c", "ann")
