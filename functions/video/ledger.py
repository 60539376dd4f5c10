"""Who asks for a part of a script's speech, and for how many requests the voice service may have charged."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from functions.video.asking import Payment
from layers.core.errors import ProviderFailed, SpeechNotDelivered
from layers.core.ids import new_id
from layers.core.table import mapped

MOST_PAID = 2  # requests for one part: a second one only where no answer came to the first
LEASE_SECONDS = 200  # a request takes 150 s at most; what it gave is then in the work store
MEMORY_SECONDS = 24 * 3600  # after the last request that may have been paid


class Ledger:
    """Items `speech#PART` of a DynamoDB table. Every method raises StorageFailed when the table does not answer."""

    def __init__(self, table: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._client = client
        self._now = now

    @contextmanager
    def claim(self, part: str) -> Iterator[Payment | None]:
        """The right to ask for a part, until the block ends or the lease does; None where somebody else has it.

        Errors of the block leave the count as it is, for whoever asks next; without an error the part is there, and
        forgotten here.
        """
        claim = Claim(self, part, new_id())
        if not self._lease(claim):
            yield None
            return
        try:
            yield claim
        except BaseException:
            self.change(claim, "SET lease_until = :zero", {":zero": {"N": "0"}})
            raise
        self._forget(claim)

    def change(self, claim: Claim, update: str, values: dict[str, Any], condition: str = "holder = :me") -> bool:
        """Change the item of a claim, if the condition holds."""
        with mapped():
            client = self._client()
            try:
                client.update_item(
                    TableName=self._table,
                    Key=_key(claim.part),
                    UpdateExpression=update,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={":me": {"S": claim.holder}, **values},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def until(self, seconds: int) -> dict[str, str]:
        """The moment that many seconds from now, as DynamoDB has it."""
        return {"N": str(int(self._now()) + seconds)}

    def holder(self, part: str) -> str | None:
        """Whose claim on a part was the last."""
        with mapped():
            answer = self._client().get_item(TableName=self._table, Key=_key(part), ConsistentRead=True)
        return str(answer["Item"]["holder"]["S"]) if "Item" in answer else None

    def _lease(self, claim: Claim) -> bool:
        lease = {":until": self.until(LEASE_SECONDS), ":now": self.until(0)}
        anew = {":end": self.until(MEMORY_SECONDS), ":zero": {"N": "0"}}
        return self.change(
            claim,
            "SET holder = :me, lease_until = :until, paid = :zero, expiration = :end",
            lease | anew,
            # An item whose time has come may stay for two more days (DynamoDB, Time to Live).
            "attribute_not_exists(id) OR expiration <= :now",
        ) or self.change(claim, "SET holder = :me, lease_until = :until", lease, "lease_until <= :now")

    def _forget(self, claim: Claim) -> None:
        with mapped():
            client = self._client()
            try:
                client.delete_item(
                    TableName=self._table,
                    Key=_key(claim.part),
                    ConditionExpression="holder = :me",
                    ExpressionAttributeValues={":me": {"S": claim.holder}},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return  # another has asked since the lease ran out, and counts


@dataclass(frozen=True)
class Claim:
    """The right to ask for one part of a script's speech."""

    ledger: Ledger
    part: str
    holder: str

    def spend(self) -> None:
        """Count a request that is about to be sent; the lease begins anew.

        Raises SpeechNotDelivered where as many as may be paid were sent, and ProviderFailed where the lease ran out and
        somebody else asks.
        """
        values = {
            ":one": {"N": "1"},
            ":most": {"N": str(MOST_PAID)},
            ":until": self.ledger.until(LEASE_SECONDS),
            ":end": self.ledger.until(MEMORY_SECONDS),
        }
        change = "SET paid = paid + :one, lease_until = :until, expiration = :end"
        if self.ledger.change(self, change, values, "holder = :me AND paid < :most"):
            return
        if self.ledger.holder(self.part) != self.holder:
            raise ProviderFailed("The voice service took so long that another step asks for this speech by now.")
        raise SpeechNotDelivered(
            f"The voice service took {MOST_PAID} requests for a part of this script and delivered no speech. It may "
            "have charged for both, so it is asked for this part again in a day at the earliest."
        )

    def refund(self) -> None:
        """The last request cost nothing."""
        self.ledger.change(self, "SET paid = paid - :one", {":one": {"N": "1"}})


def _key(part: str) -> dict[str, Any]:
    return {"id": {"S": f"speech#{part}"}}
