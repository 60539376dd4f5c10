"""How many videos may be made at one time: slots with leases, so that nothing that dies keeps one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import AtCapacity, StorageFailed
from layers.core.fair_share import Asking, half

# A step renews the lease and runs for 300 s at most (the function's time-out). Until its next try renews it, the
# workflow may wait for room for 20 minutes, then for Lambda itself, then for a function that rested, each with the
# longest of waits; a test adds them up. Ended workflows free their slots at once.
LEASE_SECONDS = 1900
ENDING_SECONDS = 60  # for which steps of a cancelled task may still be at work; few take longer
LONGEST_RETRY = 60  # seconds a caller is asked to stay away; a video rarely takes longer


@dataclass(frozen=True)
class _Lease:
    """Who holds a slot, and until when (epoch, seconds)."""

    task_id: str
    caller: str
    until: float


class Slots:
    """Items `slot#N` of a DynamoDB table, each held by one task until it is freed or `expires_at` (epoch, seconds).

    While several callers ask, each gets half of them at most; alone, one may have all. Every method raises
    StorageFailed when the table does not answer.
    """

    def __init__(self, table: str, count: int, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed."""
        self._table = table
        self._names = [f"slot#{number}" for number in range(count)]
        self._client = client
        self._now = now
        self._asking = Asking(table, "slots", client, now)

    def take(self, task_id: str, caller: str) -> None:
        """Hold a slot for the caller's task; the one it has already, if it has one. Raises AtCapacity with
        `retry_after`."""
        contested = self._asking.contested(caller)
        held = self._held()
        free = [name for name in self._names if name not in held or held[name].until <= self._now()]
        mine = [name for name in self._names if name in held and held[name].task_id == task_id]
        same = [name for name in self._names if name in held and name not in free and held[name].caller == caller]
        if contested and not mine and len(same) >= half(len(self._names)):
            raise AtCapacity(
                "Other callers are waiting, so one may use half of the capacity, and you do. Try again later.",
                retry_after=LONGEST_RETRY,
            )
        for name in mine + free:
            if self._lease(name, task_id, caller, "attribute_not_exists(id) OR expires_at <= :now OR task_id = :me"):
                if contested and self._count(caller) > half(len(self._names)):
                    self.free(task_id)  # another request of this caller came at the same moment
                    break
                return
        soonest = min((lease.until for lease in held.values()), default=0.0) - self._now()
        raise AtCapacity(
            f"{len(self._names)} videos are being made, which is as many as allowed. Ask again later.",
            retry_after=int(min(max(soonest, 1), LONGEST_RETRY)),
        )

    def _count(self, caller: str) -> int:
        return sum(lease.caller == caller and lease.until > self._now() for lease in self._held().values())

    def shorten(self, task_id: str) -> None:
        """Let go of whatever the task holds in ENDING_SECONDS."""
        for name, lease in self._held().items():
            if lease.task_id == task_id:
                self._lease(name, task_id, lease.caller, "task_id = :me", ENDING_SECONDS)

    def renew(self, task_id: str) -> bool:
        """Lengthen the task's lease; False if another task has the slot by now."""
        mine = {name: lease for name, lease in self._held().items() if lease.task_id == task_id}
        return any(self._lease(name, task_id, lease.caller, "task_id = :me") for name, lease in mine.items())

    def free(self, task_id: str) -> None:
        """Let go of whatever the task holds."""
        for name, lease in self._held().items():
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

    def _held(self) -> dict[str, _Lease]:
        """The lease of every slot that has an item."""
        keys = [{"id": {"S": name}} for name in self._names]
        with translate_errors():
            answer = self._client().batch_get_item(RequestItems={self._table: {"Keys": keys, "ConsistentRead": True}})
        if answer.get("UnprocessedKeys"):
            raise StorageFailed("The table of slots did not answer in whole. Try again.")
        items = answer["Responses"].get(self._table, [])
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
