"""The daily budget of a caller: a count in the state table, raised before the work starts."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import BudgetSpent

DAY = 24 * 3600  # seconds


class Budget:
    """Items `budget#UNIT#CALLER#DAY` of a DynamoDB table, one per caller and day (UTC); a caller is a pseudonym.

    The stack's own principals (uploads, workflows) have no caller, and so no budget; a limit of 0 means no limit for
    anyone. A request that fails has still spent its units, because work was done for it.
    """

    def __init__(
        self,
        table: str,
        unit: str,
        limit: Callable[[], int],
        client: Callable[[], Any],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`unit` is a plural noun for people; `limit` returns the present limit, 0 for none.

        `client` returns the DynamoDB client, and is called when first needed.
        """
        self._table = table
        self._unit = unit
        self._limit = limit
        self._client = client
        self._now = now

    def spend(self, caller: str | None, amount: int, payment: str | None = None) -> None:
        """Count `amount` units; a retry under the same `payment` id is charged only what that payment still lacks.

        Raises BudgetSpent, with the seconds until midnight, if that would exceed the limit; then nothing is counted.
        Raises StorageFailed.
        """
        if caller is None or not self._table or amount <= 0 or not (limit := self._limit()):
            return
        if payment is None:
            self._count(caller, amount, limit)
            return
        if (more := amount - self._read_paid(payment)) > 0:
            self._count(caller, more, limit, self._payment_put(payment, amount))

    def _read_paid(self, name: str) -> int:
        """The units that the payment of that id has covered so far."""
        with translate_errors():
            response = self._client().get_item(TableName=self._table, Key=self._payment_key(name), ConsistentRead=True)
        return int(response.get("Item", {}).get("amount", {}).get("N", 0))

    def _payment_put(self, name: str, amount: int) -> dict[str, Any]:
        end = (int(self._now()) // DAY + 2) * DAY
        item = {**self._payment_key(name), "amount": {"N": str(amount)}, "expiration": {"N": str(end)}}
        return {"TableName": self._table, "Item": item}

    def _payment_key(self, name: str) -> dict[str, Any]:
        return {"id": {"S": f"paid#{self._unit}#{name}"}}

    def check(self, caller: str | None, amount: int) -> None:
        """Raise BudgetSpent if `spend` would, without counting anything; or StorageFailed."""
        if caller is None or not self._table or not (limit := self._limit()):
            return
        day, elapsed = divmod(int(self._now()), DAY)
        with translate_errors():
            response = self._client().get_item(TableName=self._table, Key=self._day_key(caller, day))
        if int(response.get("Item", {}).get("spent", {}).get("N", 0)) + amount > limit:
            raise self._budget_error(amount, limit, elapsed)

    def _day_key(self, caller: str, day: int) -> dict[str, Any]:
        return {"id": {"S": f"budget#{self._unit}#{caller}#{day}"}}

    def _budget_error(self, amount: int, limit: int, elapsed: int) -> BudgetSpent:
        return BudgetSpent(
            f"The daily limit is {limit} {self._unit} per caller (UTC day). This request needs {amount}, which "
            "would exceed it.",
            retry_after=DAY - elapsed,
        )

    def _count(self, caller: str, amount: int, limit: int, payment: dict[str, Any] | None = None) -> None:
        """Raise the count and write the payment's item, both or neither."""
        day, elapsed = divmod(int(self._now()), DAY)
        if amount > limit:
            raise self._budget_error(amount, limit, elapsed)
        update = {
            "TableName": self._table,
            "Key": self._day_key(caller, day),
            "UpdateExpression": "ADD spent :amount SET expiration = :end",
            "ConditionExpression": "attribute_not_exists(spent) OR spent <= :room",
            "ExpressionAttributeValues": {
                ":amount": {"N": str(amount)},
                ":room": {"N": str(limit - amount)},
                ":end": {"N": str((day + 2) * DAY)},
            },
        }
        with translate_errors():
            client = self._client()
            try:
                if payment is None:
                    client.update_item(**update)
                else:
                    client.transact_write_items(TransactItems=[{"Update": update}, {"Put": payment}])
            except client.exceptions.ConditionalCheckFailedException:
                raise self._budget_error(amount, limit, elapsed) from None
            except client.exceptions.TransactionCanceledException as error:
                if error.response["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed":
                    raise self._budget_error(amount, limit, elapsed) from None
                raise
