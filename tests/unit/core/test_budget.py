"""Daily budgets, on a real table of the local cloud."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from layers.core.budget import DAY, Budget
from layers.core.errors import BudgetSpent, StorageFailed
from tests.support.clock import Clock

NOON = 20_000 * DAY + DAY // 2


@pytest.fixture
def clock() -> Clock:
    return Clock(at=float(NOON))


@pytest.fixture
def budget(dynamodb: Any, table: str, clock: Clock) -> Budget:
    return Budget(table, "megapixels", lambda: 10, lambda: dynamodb, clock)


def test_what_is_over_the_limit_is_refused_until_midnight_and_not_counted(budget: Budget) -> None:
    budget.spend("ann", 6)

    with pytest.raises(BudgetSpent) as excinfo:
        budget.spend("ann", 5)

    assert excinfo.value.status == 429
    assert excinfo.value.extra["retry_after"] == DAY // 2
    budget.spend("ann", 4)
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 1)


def test_more_than_a_day_s_is_never_counted(budget: Budget) -> None:
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 11)

    budget.spend("ann", 10)


def test_callers_days_and_units_are_apart(dynamodb: Any, table: str, budget: Budget, clock: Clock) -> None:
    budget.spend("ann", 10)

    budget.spend("ben", 10)
    Budget(table, "seconds", lambda: 10, lambda: dynamodb, clock).spend("ann", 10)
    clock.at += DAY // 2
    budget.spend("ann", 10)


def test_the_table_forgets(dynamodb: Any, table: str, budget: Budget) -> None:
    budget.spend("ann", 1)

    (item,) = dynamodb.scan(TableName=table)["Items"]
    assert NOON + DAY < int(item["expiration"]["N"]) <= NOON + 2 * DAY


def test_what_is_paid_under_a_name_is_paid_once(budget: Budget) -> None:
    for _ in range(3):
        budget.spend("ann", 6, payment="swap 1")

    budget.spend("ann", 4, payment="swap 2")
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 1, payment="swap 3")


def test_what_costs_more_at_the_next_try_pays_the_rest(budget: Budget) -> None:
    budget.spend("ann", 1, payment="swap 1")
    budget.spend("ann", 9, payment="swap 1")
    budget.spend("ann", 2, payment="swap 1")

    budget.spend("ann", 1)
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 1)


def test_a_name_that_was_refused_has_not_paid(budget: Budget, clock: Clock) -> None:
    budget.spend("ann", 9)
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 2, payment="swap 1")
    clock.at += DAY

    budget.spend("ann", 10, payment="swap 1")

    with pytest.raises(BudgetSpent):
        budget.spend("ann", 1)


def test_a_count_that_failed_has_not_paid(dynamodb: Any, table: str, budget: Budget, clock: Clock) -> None:
    class Throttled:
        exceptions = dynamodb.exceptions
        get_item = dynamodb.get_item

        def transact_write_items(self, **_: Any) -> None:
            raise ClientError({"Error": {"Code": "ThrottlingException"}}, "TransactWriteItems")

    with pytest.raises(StorageFailed):
        Budget(table, "megapixels", lambda: 10, Throttled, clock).spend("ann", 6, payment="swap 1")

    budget.spend("ann", 10, payment="swap 1")
    with pytest.raises(BudgetSpent):
        budget.spend("ann", 1)


def test_what_would_be_too_much_can_be_asked_without_spending(budget: Budget) -> None:
    budget.check("ann", 10)
    budget.spend("ann", 6)

    budget.check("ann", 4)
    with pytest.raises(BudgetSpent):
        budget.check("ann", 5)
    budget.spend("ann", 4)


def test_at_the_same_moment_no_more_than_the_limit_is_given(budget: Budget) -> None:
    def one(_: int) -> bool:
        try:
            budget.spend("ann", 1)
        except BudgetSpent:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(one, range(24))) == 10


@pytest.mark.parametrize(("caller", "limit", "table"), [(None, 10, "t"), ("ann", 0, "t"), ("ann", 10, "")])
def test_who_has_no_budget_costs_no_request(caller: str | None, limit: int, table: str) -> None:
    def none() -> Any:
        raise AssertionError("the table was asked")

    Budget(table, "megapixels", lambda: limit, none).spend(caller, 5)


def test_a_table_that_does_not_answer_is_said(dynamodb: Any) -> None:
    with pytest.raises(StorageFailed):
        Budget("no-such-table", "megapixels", lambda: 10, lambda: dynamodb).spend("ann", 1)
