"""Slots, which limit how many videos are made at once; they have leases, so that nothing that dies keeps one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import AtCapacity, StorageFailed
from layers.core.fair_share import Contention, fair_half

# A step renews the lease and runs for 300 s at most (the function's time-out). Until its next attempt renews it, the
# workflow may be throttled for 20 minutes, then wait for Lambda itself, then for an idle function that comes back, each
# with the longest of waits; a test adds them up. Workflows that end free their slots at once.
LEASE_SECONDS = 1900
ENDING_SECONDS = 60  # for which steps of a cancelled task may go on; few take longer
LONGEST_RETRY = 60  # seconds that a caller is asked to wait; a video rarely takes longer


@dataclass(frozen=True)
class _Lease:
    """The holder of a slot, and the end of the lease (epoch, seconds)."""

    task_id: str
    caller: str
    until: float


class Slots:
    """Items `slot#N` of a DynamoDB table, each held by one task until it is freed or `expires_at` (epoch, seconds).

    While several callers ask, each gets half of the slots at most; a caller who is alone may have all. Every method
    raises StorageFailed when the table does not answer.
    """

    def __init__(self, table: str, count: int, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._names = [f"slot#{number}" for number in range(count)]
        self._client = client
        self._now = now
        self._contention = Contention(table, "slots", client, now)

    def take(self, task_id: str, caller: str) -> None:
        """Hold a slot for the caller's task, or go on holding the one that it has. Raises AtCapacity with
        `retry_after`."""
        contested = self._contention.register(caller)
        leases = self._leases()
        free = [name for name in self._names if name not in leases or leases[name].until <= self._now()]
        own = [name for name in self._names if name in leases and leases[name].task_id == task_id]
        callers = [
            name for name in self._names if name in leases and name not in free and leases[name].caller == caller
        ]
        if contested and not own and len(callers) >= fair_half(len(self._names)):
            raise AtCapacity(
                "Other callers are waiting, and you already use your half of the capacity. Try again later.",
                retry_after=LONGEST_RETRY,
            )
        for name in own + free:
            if self._lease(name, task_id, caller, "attribute_not_exists(id) OR expires_at <= :now OR task_id = :me"):
                if contested and self._count(caller) > fair_half(len(self._names)):
                    self.free(task_id)  # another request of this caller came at the same moment
                    break
                return
        soonest = min((lease.until for lease in leases.values()), default=0.0) - self._now()
        raise AtCapacity(
            f"{len(self._names)} videos are being made, which is the limit. Try again later.",
            retry_after=int(min(max(soonest, 1), LONGEST_RETRY)),
        )

    def _count(self, caller: str) -> int:
        return sum(lease.caller == caller and lease.until > self._now() for lease in self._leases().values())

    def shorten(self, task_id: str) -> None:
        """Free whatever the task holds in ENDING_SECONDS."""
        for name, lease in self._leases().items():
            if lease.task_id == task_id:
                self._lease(name, task_id, lease.caller, "task_id = :me", ENDING_SECONDS)

    def renew(self, task_id: str) -> bool:
        """Renew the task's lease; False if another task has the slot by now."""
        own = {name: lease for name, lease in self._leases().items() if lease.task_id == task_id}
        return any(self._lease(name, task_id, lease.caller, "task_id = :me") for name, lease in own.items())

    def free(self, task_id: str) -> None:
        """Free whatever the task holds."""
        for name, lease in self._leases().items():
            if lease.task_id == task_id:
                with translate_errors():
                    client = self._client()
                    try:
                        client.delete_item(
                            TableName=self._table,
                            Key={"id": {"S": name}},
                            ConditionExpression="task_id = :me",
                            ExpressionAttributeValues={":me": {"S": task_id}},
                        )
                    except client.exceptions.ConditionalCheckFailedException:
                        continue  # another task has it by now

    def _leases(self) -> dict[str, _Lease]:
        """The lease of every slot that has an item."""
        keys = [{"id": {"S": name}} for name in self._names]
        with translate_errors():
            response = self._client().batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        if response.get("UnprocessedKeys"):
            raise StorageFailed("The state table did not return every slot. Try again.")
        items = response["Responses"].get(self._table, [])
        return {
            each["id"]["S"]: _Lease(
                each["task_id"]["S"], each.get("caller", {}).get("S", ""), float(each["expires_at"]["N"])
            )
            for each in items
        }

    def _lease(self, name: str, task_id: str, caller: str, condition: str, seconds: int = LEASE_SECONDS) -> bool:
        now = int(self._now())
        values = {":me": {"S": task_id}, ":now": {"N": str(now)}}
        with translate_errors():
            client = self._client()
            try:
                client.put_item(
                    TableName=self._table,
                    Item={
                        "id": {"S": name},
                        "task_id": {"S": task_id},
                        **({"caller": {"S": caller}} if caller else {}),
                        "expires_at": {"N": str(now + seconds)},
                    },
                    ConditionExpression=condition,
                    ExpressionAttributeValues={key: value for key, value in values.items() if key in condition},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True
