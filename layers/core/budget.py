"""What one caller may ask for in a day: a count in the state table, raised before the work starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from layers.core.errors import BudgetSpent
from layers.core.table import mapped

DAY = 24 * 3600  # seconds


class Budget:
    """Items `budget#UNIT#CALLER#DAY` of a DynamoDB table, one a caller and day (UTC); a caller is a pseudonym.

    The stack's own principals (uploads, workflows) have no caller and no budget; nor has anyone where the limit is 0.
    What fails has been spent all the same: it was work.
    """

    def __init__(
        self, table: str, unit: str, limit: int, client: Callable[[], Any], now: Callable[[], float] = time.time
    ) -> None:
        """`unit` in the plural, as people read it; `client` gives the DynamoDB client when first needed."""
        self._table = table
        self._unit = unit
        self._limit = limit
        self._client = client
        self._now = now

    def spend(self, caller: str | None, amount: int, once: str | None = None) -> None:
        """Count `amount` units; those `once` has a name for, only the first time it comes within two days.

        Raises BudgetSpent, with the seconds until midnight, if that is over the limit; then nothing is counted. Raises
        StorageFailed.
        """
        if caller is None or not self._limit or not self._table or amount <= 0:
            return
        if once is not None and not self._first(once):
            return
        try:
            self._count(caller, amount)
        except BudgetSpent:
            if once is not None:
                with mapped():
                    self._client().delete_item(TableName=self._table, Key=self._paid(once))
            raise

    def _first(self, name: str) -> bool:
        """Whether this name has not paid yet; from now on it has."""
        end = (int(self._now()) // DAY + 2) * DAY
        with mapped():
            client = self._client()
            try:
                client.put_item(
                    TableName=self._table,
                    Item={**self._paid(name), "expiration": {"N": str(end)}},
                    ConditionExpression="attribute_not_exists(id)",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def _paid(self, name: str) -> dict[str, Any]:
        return {"id": {"S": f"paid#{self._unit}#{name}"}}

    def _count(self, caller: str, amount: int) -> None:
        day, passed = divmod(int(self._now()), DAY)
        over = BudgetSpent(
            f"{amount} more {self._unit} are over the {self._limit} that one caller may have in a day (UTC).",
            retry_after=DAY - passed,
        )
        if amount > self._limit:
            raise over
        with mapped():
            client = self._client()
            try:
                client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": f"budget#{self._unit}#{caller}#{day}"}},
                    UpdateExpression="ADD spent :amount SET expiration = :end",
                    ConditionExpression="attribute_not_exists(spent) OR spent <= :room",
                    ExpressionAttributeValues={
                        ":amount": {"N": str(amount)},
                        ":room": {"N": str(self._limit - amount)},
                        ":end": {"N": str((day + 2) * DAY)},
                    },
                )
            except client.exceptions.ConditionalCheckFailedException:
                raise over from None
