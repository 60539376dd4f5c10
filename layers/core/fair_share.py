"""How callers share what is scarce: while another one asks too, nobody has more than half; alone, one may have all.

Both kinds are one item of the state table per thing, or per thing and caller, whose attributes are counted; an item is
read by the very update that changes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import AtCapacity, StorageFailed
from layers.core.ids import new_id

ASKING_SECONDS = 120  # a caller who has asked within this time asks; longer than anyone is told to stay away
_PREFIX = "c_"  # of an attribute that stands for a caller or a lease, beside `id` and `expiration`
_MOST_STALE = 50  # attributes taken away at a time


def half(whole: int) -> int:
    """The most that one caller may have while another asks."""
    return max(1, whole // 2)


class Asking:
    """Item `asking#THING`: when each caller last asked for a thing. Methods raise StorageFailed."""

    def __init__(self, table: str, thing: str, client: Callable[[], Any], now: Callable[[], float] = time.time) -> None:
        """`client` gives the DynamoDB client when first needed; without a table everybody is alone."""
        self._table, self._client, self._now = table, client, now
        self._key = f"asking#{thing}"

    def contested(self, caller: str) -> bool:
        """Records that this caller asks; whether another one has asked within ASKING_SECONDS."""
        if not self._table:
            return False
        now = self._now()
        times = _set(self._client, self._table, self._key, caller, int(now), int(now) + ASKING_SECONDS)
        stale = [name for name, at in times.items() if at <= now - ASKING_SECONDS]
        _remove(self._client, self._table, self._key, stale)
        return len(times) - len(stale) > 1


class Sandboxes:
    """Items `running#CALLER`: requests of one caller that are at work, each with a lease, so that what is killed is
    forgotten. Methods raise StorageFailed."""

    def __init__(
        self,
        table: str,
        seconds: float,
        whole: Callable[[], int],
        client: Callable[[], Any],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`seconds` is the longest that a request may take; `whole` tells how many sandboxes there may be, and is asked
        only when it could matter."""
        self._table, self._seconds, self._whole, self._client, self._now = table, seconds, whole, client, now
        self._asking = Asking(table, "sandboxes", client, now)

    def enter(self, caller: str | None, name: str) -> None:
        """Let the request with that name be at work, until `leave`, also where this raises.

        Raises AtCapacity where its caller has its share already.
        """
        if caller is None or not self._table:
            return
        now = self._now()
        contested = self._asking.contested(caller)
        key = f"running#{caller}"
        leases = _set(self._client, self._table, key, name, int(now + self._seconds), int(now + 2 * self._seconds))
        stale = [lease for lease, end in leases.items() if end <= now]
        _remove(self._client, self._table, key, stale)
        running = len(leases) - len(stale)
        if contested and running > 1 and running > half(self._whole()):
            raise AtCapacity(
                "Other callers are waiting, so one may use half of the capacity, and you do. Try again in a moment.",
                retry_after=2,
            )

    def leave(self, caller: str | None, name: str) -> None:
        """The request is over."""
        if caller is not None and self._table:
            _remove(self._client, self._table, f"running#{caller}", [name])

    @contextmanager
    def share(self, caller: str | None) -> Iterator[None]:
        """Be at work inside. Raises AtCapacity or StorageFailed."""
        name = new_id()
        try:
            self.enter(caller, name)
            yield
        finally:
            with suppress(StorageFailed):  # what is not taken back ends by itself
                self.leave(caller, name)


class Quota:
    """Items `quota#THING#WINDOW`: what each caller has used of an operator's quota at a service, in windows of equal
    length. Methods raise StorageFailed."""

    def __init__(
        self,
        table: str,
        thing: str,
        whole: int,
        seconds: int,
        client: Callable[[], Any],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`whole` is what the service gives in `seconds`; 0 where nobody knows, and then nothing is divided."""
        self._table, self._thing, self._whole, self._seconds = table, thing, whole, seconds
        self._client, self._now = client, now

    def check(self, caller: str, amount: int) -> None:
        """Raises AtCapacity if taking that much would, without counting it; or StorageFailed."""
        if not self._table or not self._whole:
            return
        window, passed = divmod(int(self._now()), self._seconds)
        with translate_errors():
            answer = self._client().get_item(TableName=self._table, Key={"id": {"S": self._key(window)}})
        used = _numbers(answer.get("Item", {}))
        if set(used) - {caller} and used.get(caller, 0) + amount > half(self._whole):
            raise self._over(passed)

    def take(self, caller: str, amount: int) -> None:
        """Count what is about to be used. Raises AtCapacity, having counted nothing, where it is over this caller's
        half and another caller has used something in the same window."""
        if not self._table or not self._whole:
            return
        window, passed = divmod(int(self._now()), self._seconds)
        key, end = self._key(window), (window + 2) * self._seconds
        used = _add(self._client, self._table, key, caller, amount, end)
        if len(used) > 1 and used[caller] > half(self._whole):
            _add(self._client, self._table, key, caller, -amount, end)
            raise self._over(passed)

    def _key(self, window: int) -> str:
        return f"quota#{self._thing}#{window}"

    def _over(self, passed: int) -> AtCapacity:
        return AtCapacity(
            f"Other callers use {self._thing} too, so one may use half of its quota, and you have. Try again later.",
            retry_after=self._seconds - passed,
        )


def _set(client: Callable[[], Any], table: str, key: str, name: str, value: int, end: int) -> dict[str, int]:
    change = "SET #name = :value, expiration = :end"
    return _update(client, table, key, change, {"#name": _PREFIX + name}, {":value": value, ":end": end})


def _add(client: Callable[[], Any], table: str, key: str, name: str, amount: int, end: int) -> dict[str, int]:
    change = "ADD #name :value SET expiration = :end"
    return _update(client, table, key, change, {"#name": _PREFIX + name}, {":value": amount, ":end": end})


def _remove(client: Callable[[], Any], table: str, key: str, names: list[str]) -> None:
    if names:
        aliases = {f"#n{number}": _PREFIX + name for number, name in enumerate(names[:_MOST_STALE])}
        _update(client, table, key, f"REMOVE {', '.join(aliases)}", aliases, {})


def _update(
    client: Callable[[], Any], table: str, key: str, change: str, names: Mapping[str, str], values: Mapping[str, int]
) -> dict[str, int]:
    """The numbers that the item has afterwards, by caller or lease."""
    numbers = {name: {"N": str(value)} for name, value in values.items()}
    with translate_errors():
        answer = client().update_item(
            TableName=table,
            Key={"id": {"S": key}},
            UpdateExpression=change,
            ExpressionAttributeNames=dict(names),
            ReturnValues="ALL_NEW",
            **({"ExpressionAttributeValues": numbers} if numbers else {}),
        )
    return _numbers(answer.get("Attributes", {}))


def _numbers(item: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """An item's counts, by caller or lease."""
    return {name.removeprefix(_PREFIX): int(value["N"]) for name, value in item.items() if name.startswith(_PREFIX)}
