"""What one caller may ask for in a day: a count in the state table, raised before the work starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import BudgetSpent

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
        """Count `amount` units; of what is tried again under the name `once`, only what it has not paid by now.

        Raises BudgetSpent, with the seconds until midnight, if that is over the limit; then nothing is counted. Raises
        StorageFailed.
        """
        if caller is None or not self._limit or not self._table or amount <= 0:
            return
        if once is None:
            self._count(caller, amount)
            return
        if (more := amount - self._paid(once)) > 0:
            self._count(caller, more, self._marker(once, amount))

    def _paid(self, name: str) -> int:
        """What that name has paid so far."""
        with translate_errors():
            answer = self._client().get_item(TableName=self._table, Key=self._key(name), ConsistentRead=True)
        return int(answer.get("Item", {}).get("amount", {}).get("N", 0))

    def _marker(self, name: str, amount: int) -> dict[str, Any]:
        end = (int(self._now()) // DAY + 2) * DAY
        item = {**self._key(name), "amount": {"N": str(amount)}, "expiration": {"N": str(end)}}
        return {"TableName": self._table, "Item": item}

    def _key(self, name: str) -> dict[str, Any]:
        return {"id": {"S": f"paid#{self._unit}#{name}"}}

    def check(self, caller: str | None, amount: int) -> None:
        """Raises BudgetSpent if spending that much would, without counting it; or StorageFailed."""
        if caller is None or not self._limit or not self._table:
            return
        day, passed = divmod(int(self._now()), DAY)
        with translate_errors():
            answer = self._client().get_item(TableName=self._table, Key=self._item(caller, day))
        if int(answer.get("Item", {}).get("spent", {}).get("N", 0)) + amount > self._limit:
            raise self._over(amount, passed)

    def _item(self, caller: str, day: int) -> dict[str, Any]:
        return {"id": {"S": f"budget#{self._unit}#{caller}#{day}"}}

    def _over(self, amount: int, passed: int) -> BudgetSpent:
        return BudgetSpent(
            f"The daily limit is {self._limit} {self._unit} per caller (UTC day); this needs {amount} more.",
            retry_after=DAY - passed,
        )

    def _count(self, caller: str, amount: int, marker: dict[str, Any] | None = None) -> None:
        """Raise the count, and put the marker there, both or neither."""
        day, passed = divmod(int(self._now()), DAY)
        if amount > self._limit:
            raise self._over(amount, passed)
        change = {
            "TableName": self._table,
            "Key": self._item(caller, day),
            "UpdateExpression": "ADD spent :amount SET expiration = :end",
            "ConditionExpression": "attribute_not_exists(spent) OR spent <= :room",
            "ExpressionAttributeValues": {
                ":amount": {"N": str(amount)},
                ":room": {"N": str(self._limit - amount)},
                ":end": {"N": str((day + 2) * DAY)},
            },
        }
        with translate_errors():
            client = self._client()
            try:
                if marker is None:
                    client.update_item(**change)
                else:
                    client.transact_write_items(TransactItems=[{"Update": change}, {"Put": marker}])
            except client.exceptions.ConditionalCheckFailedException:
                raise self._over(amount, passed) from None
            except client.exceptions.TransactionCanceledException as error:
                if error.response["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed":
                    raise self._over(amount, passed) from None
                raise
