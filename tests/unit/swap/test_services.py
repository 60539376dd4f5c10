"""How many sandboxes the function takes itself to have."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from functions.swap.services import ACCOUNT_LIMIT_SECONDS, NEW_ACCOUNT_CONCURRENCY, concurrency_limit


class Account:
    """Just enough of the Lambda client."""

    def __init__(self, unreserved: int) -> None:
        self.unreserved, self.calls = unreserved, 0
        self.failure: Exception | None = None

    def get_account_settings(self) -> Any:
        self.calls += 1
        if self.failure:
            raise self.failure
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.unreserved}}


def test_what_is_reserved_is_not_asked_for() -> None:
    account = Account(900)

    assert concurrency_limit(7, lambda: account)() == 7
    assert account.calls == 0


def test_the_account_is_asked_once_in_a_while() -> None:
    account, now = Account(900), [0.0]
    limit = concurrency_limit(0, lambda: account, lambda: now[0])

    assert [limit(), limit()] == [900, 900]
    account.unreserved = 100
    now[0] = ACCOUNT_LIMIT_SECONDS
    assert limit() == 100
    assert account.calls == 2


def test_an_account_that_does_not_say_is_taken_for_a_new_one() -> None:
    account = Account(900)
    account.failure = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetAccountSettings")

    assert concurrency_limit(0, lambda: account)() == NEW_ACCOUNT_CONCURRENCY
