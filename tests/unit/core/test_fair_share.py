"""What callers share, on a real table of the local cloud: half each while several ask, all where one is alone."""

from __future__ import annotations

from typing import Any

import pytest

from layers.core.errors import AtCapacity
from layers.core.fair_share import CONTENTION_SECONDS, Contention, Quota, Sandboxes
from tests.support.clock import Clock

SECONDS = 120.0  # of a request


@pytest.fixture
def sandboxes(dynamodb: Any, table: str, clock: Clock) -> Sandboxes:
    return Sandboxes(table, SECONDS, lambda: 10, lambda: dynamodb, clock)


def enter(sandboxes: Sandboxes, caller: str, count: int) -> int:
    """How many of that many requests were let in."""
    entered = 0
    for _ in range(count):
        try:
            sandboxes.enter(caller, f"{caller}{entered}")
        except AtCapacity:
            break
        entered += 1
    return entered


def test_who_is_alone_may_have_every_sandbox(sandboxes: Sandboxes) -> None:
    assert enter(sandboxes, "ann", 12) == 12


def test_while_another_asks_nobody_gets_more_than_half(sandboxes: Sandboxes) -> None:
    assert enter(sandboxes, "ben", 1) == 1

    assert enter(sandboxes, "ann", 12) == 5
    assert enter(sandboxes, "ben", 12) == 5, "one of them the same request again"


def test_who_had_all_gets_no_more_once_another_asks(sandboxes: Sandboxes) -> None:
    assert enter(sandboxes, "ann", 9) == 9
    assert enter(sandboxes, "ben", 1) == 1
    sandboxes.leave("ann", "ann0")

    with pytest.raises(AtCapacity) as excinfo:
        sandboxes.enter("ann", "new")

    assert excinfo.value.extra["retry_after"] == 2
    sandboxes.enter(None, "an upload")  # the stack's own principals


def test_who_no_longer_asks_is_no_longer_counted(sandboxes: Sandboxes, clock: Clock) -> None:
    enter(sandboxes, "ben", 1)
    clock.at += CONTENTION_SECONDS

    assert enter(sandboxes, "ann", 12) == 12


def test_what_was_killed_is_forgotten(sandboxes: Sandboxes, clock: Clock) -> None:
    assert enter(sandboxes, "ann", 9) == 9
    clock.at += SECONDS + 1

    assert enter(sandboxes, "ben", 1) == 1
    assert enter(sandboxes, "ann", 12) == 5


def test_a_caller_with_one_request_is_never_refused(dynamodb: Any, table: str, clock: Clock) -> None:
    tight = Sandboxes(table, SECONDS, lambda: 1, lambda: dynamodb, clock)
    tight.enter("ben", "1")

    tight.enter("ann", "1")


def test_long_work_leaves_a_few_sandboxes_by_which_others_are_noticed(
    dynamodb: Any, table: str, clock: Clock, sandboxes: Sandboxes
) -> None:
    steps = Sandboxes(table, 900, lambda: 10, lambda: dynamodb, clock, spare=2)

    assert enter(steps, "ann", 12) == 8
    clock.at += SECONDS + 1
    assert enter(sandboxes, "ben", 1) == 1
    with pytest.raises(AtCapacity, match="Other callers"):
        sandboxes.enter("ann", "a still picture, while the steps go on")
    clock.at += 900
    assert enter(sandboxes, "ann", 1) == 1, "the steps were killed"


def test_one_sandbox_is_enough_for_who_is_alone_however_few_there_are(dynamodb: Any, table: str, clock: Clock) -> None:
    steps = Sandboxes(table, 900, lambda: 2, lambda: dynamodb, clock, spare=2)

    assert enter(steps, "ann", 3) == 1


def test_the_limit_is_asked_for_only_where_it_could_matter(dynamodb: Any, table: str, clock: Clock) -> None:
    def limit() -> int:
        raise AssertionError("asked")

    sandboxes = Sandboxes(table, SECONDS, limit, lambda: dynamodb, clock)
    assert enter(sandboxes, "ann", 3) == 3
    assert enter(sandboxes, "ben", 1) == 1


def test_the_item_of_who_asks_does_not_grow(dynamodb: Any, table: str, clock: Clock) -> None:
    contention = Contention(table, "slots", lambda: dynamodb, clock)
    for number in range(20):
        contention.register(f"caller{number}")
        clock.at += CONTENTION_SECONDS

    (item,) = dynamodb.scan(TableName=table)["Items"]
    assert len(item) <= 4


def test_a_quota_is_halved_while_another_asks_in_the_same_window(dynamodb: Any, table: str, clock: Clock) -> None:
    quota = Quota(table, "Pexels", 10, 3600, lambda: dynamodb, clock)
    quota.take("ann", 4)
    quota.take("ben", 1)
    quota.take("ann", 1)

    with pytest.raises(AtCapacity) as excinfo:
        quota.take("ann", 1)

    assert 0 < excinfo.value.extra["retry_after"] <= 3600
    quota.take("ben", 4)
    clock.at += 3600
    for _ in range(10):
        quota.take("ann", 1)


def test_a_quota_that_nobody_knows_is_not_divided(dynamodb: Any, table: str, clock: Clock) -> None:
    quota = Quota(table, "ElevenLabs", 0, 3600, lambda: dynamodb, clock)
    for caller in ("ben", "ann", "ann", "ann"):
        quota.take(caller, 10_000)
