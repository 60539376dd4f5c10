"""How many sandboxes the function takes itself to have."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from functions.swap.services import LIMIT_SECONDS, SMALLEST_ACCOUNT, room


class Account:
    """Just enough of the Lambda client."""

    def __init__(self, unreserved: int) -> None:
        self.unreserved, self.asked = unreserved, 0
        self.failure: Exception | None = None

    def get_account_settings(self) -> Any:
        self.asked += 1
        if self.failure:
            raise self.failure
        return {"AccountLimit": {"ConcurrentExecutions": 1000, "UnreservedConcurrentExecutions": self.unreserved}}


def test_what_is_reserved_is_not_asked_for() -> None:
    account = Account(900)

    assert room(7, lambda: account)() == 7
    assert account.asked == 0


def test_the_account_is_asked_once_in_a_while() -> None:
    account, now = Account(900), [0.0]
    ask = room(0, lambda: account, lambda: now[0])

    assert [ask(), ask()] == [900, 900]
    account.unreserved = 100
    now[0] = LIMIT_SECONDS
    assert ask() == 100
    assert account.asked == 2


def test_an_account_that_does_not_say_is_taken_for_a_new_one() -> None:
    account = Account(900)
    account.failure = ClientError({"Error": {"Code": "AccessDeniedException"}}, "GetAccountSettings")

    assert room(0, lambda: account)() == SMALLEST_ACCOUNT
