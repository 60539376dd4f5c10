"""Which step requests a chunk of a script's speech, and for how many requests the voice service may have charged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from functions.video.providers.interfaces import Payment
from layers.core.dynamodb import translate_errors
from layers.core.errors import ProviderFailed, SpeechNotDelivered
from layers.core.ids import new_id

MOST_PAID = 2  # requests for one chunk: a second one only where the first was not answered
LEASE_SECONDS = 200  # a request takes 150 s at most; its speech is then in the artifact store
MEMORY_SECONDS = 24 * 3600  # after the last request that may have been charged


class Payments:
    """Items `speech#CHUNK` of a DynamoDB table. Every method raises StorageFailed when the table does not answer.

    Every change is idempotent: a client that got no answer sends it again.
    """

    def __init__(self, table: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._client = client
        self._now = now

    @contextmanager
    def claim(self, chunk: str) -> Iterator[Payment | None]:
        """The right to request a chunk, until the block or the lease ends; None where somebody else has it.

        An error in the block leaves the count as it is, for the next request; without an error the chunk is stored,
        and its item is deleted.
        """
        claim = self._lease(chunk, new_id())
        if claim is None:
            yield None
            return
        try:
            yield claim
        except BaseException:
            self.change(chunk, claim.holder, "lease_until = :zero", {":zero": _number(0)})
            raise
        self._forget(claim)

    def change(
        self, chunk: str, holder: str, update: str, values: dict[str, Any], condition: str = "holder = :me"
    ) -> dict[str, Any] | None:
        """The item of a chunk after the change; None where the condition does not hold."""
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
                    TableName=self._table,
                    Key=_key(chunk),
                    UpdateExpression=f"SET {update}",
                    ConditionExpression=condition,
                    ExpressionAttributeValues={":me": {"S": holder}, **values},
                    ReturnValues="ALL_NEW",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        item: dict[str, Any] = response["Attributes"]
        return item

    def later(self, seconds: int) -> dict[str, str]:
        """The moment that many seconds from now, as a DynamoDB number."""
        return _number(int(self._now()) + seconds)

    def _lease(self, chunk: str, holder: str) -> Claim | None:
        lease = {":until": self.later(LEASE_SECONDS), ":now": self.later(0)}
        fresh = {":end": self.later(MEMORY_SECONDS), ":zero": _number(0)}
        item = self.change(
            chunk,
            holder,
            "holder = :me, lease_until = :until, paid = :zero, expiration = :end",
            lease | fresh,
            # An expired item may stay for two more days (DynamoDB, Time to Live).
            "attribute_not_exists(id) OR expiration <= :now",
        ) or self.change(
            chunk, holder, "holder = :me, lease_until = :until", lease, "lease_until <= :now OR holder = :me"
        )
        return Claim(self, chunk, holder, int(item["paid"]["N"])) if item else None

    def _forget(self, claim: Claim) -> None:
        with translate_errors():
            client = self._client()
            try:
                client.delete_item(
                    TableName=self._table,
                    Key=_key(claim.chunk),
                    ConditionExpression="holder = :me",
                    ExpressionAttributeValues={":me": {"S": claim.holder}},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return  # another step has taken over since the lease ran out, and counts


@dataclass
class Claim:
    """The right to request one chunk of a script's speech. While the item names its holder, nobody else counts."""

    payments: Payments
    chunk: str
    holder: str
    paid: int  # requests that may have been charged so far, by anybody

    def spend(self) -> None:
        """Count a request that is about to be sent; the lease begins anew.

        Raises SpeechNotDelivered where no more requests may be charged, and ProviderFailed where the lease ran out
        and another step has taken over.
        """
        if self.paid >= MOST_PAID:
            raise SpeechNotDelivered(
                f"The voice service accepted {MOST_PAID} requests for a part of this script and returned no usable "
                "speech. It may have charged for both, so this part will not be requested again for a day."
            )
        times = {":until": self.payments.later(LEASE_SECONDS), ":end": self.payments.later(MEMORY_SECONDS)}
        if not self._count(self.paid + 1, ", lease_until = :until, expiration = :end", times):
            raise ProviderFailed("The voice service took so long that another step has taken over this request.")

    def refund(self) -> None:
        """Take back the last request, which cost nothing."""
        self._count(self.paid - 1)

    def _count(self, paid: int, more: str = "", values: dict[str, Any] | None = None) -> bool:
        item = self.payments.change(
            self.chunk, self.holder, f"paid = :paid{more}", {":paid": _number(paid), **(values or {})}
        )
        self.paid = paid
        return item is not None


def _number(value: int) -> dict[str, str]:
    return {"N": str(value)}


def _key(chunk: str) -> dict[str, Any]:
    return {"id": {"S": f"speech#{chunk}"}}
