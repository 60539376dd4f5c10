"""How callers share what is scarce: alone, a caller may have all of it; while another one asks too, at most half.

Each share is kept in one item of the state table per resource, or per resource and caller. Its attributes are the
counts, and every update returns the item as it is afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from layers.core.dynamodb import translate_errors
from layers.core.errors import AtCapacity, StorageFailed
from layers.core.ids import new_id

_ITEM_SECONDS = 3600  # longer than any lease in an item, whose readers have leases of different lengths
CONTENTION_SECONDS = 120  # a caller counts as asking for so long after a request; longer than any Retry-After
_PREFIX = "c_"  # of an attribute that stands for a caller or a lease, beside `id` and `expiration`
_MAX_STALE = 50  # attributes removed at a time


def fair_half(total: int) -> int:
    """The most that one caller may have while another asks."""
    return max(1, total // 2)


class Contention:
    """Item `asking#RESOURCE`: when each caller last asked for a resource. Methods raise StorageFailed."""

    def __init__(
        self, table: str, resource: str, client: Callable[[], Any], now: Callable[[], float] = time.time
    ) -> None:
        """`client` returns the DynamoDB client when first needed; without a table there is never any contention."""
        self._table, self._client, self._now = table, client, now
        self._key = f"asking#{resource}"

    def register(self, caller: str) -> bool:
        """Record that this caller asks; return whether another one has asked within CONTENTION_SECONDS."""
        if not self._table:
            return False
        now = self._now()
        times = _set(self._client, self._table, self._key, caller, int(now), int(now) + CONTENTION_SECONDS)
        stale = [name for name, at in times.items() if at <= now - CONTENTION_SECONDS]
        _remove(self._client, self._table, self._key, stale)
        return len(times) - len(stale) > 1


class Sandboxes:
    """Items `running#CALLER`: the running requests of one caller, each with a lease, so that a request that is killed
    stops counting when its lease ends. Methods raise StorageFailed."""

    def __init__(
        self,
        table: str,
        seconds: float,
        total: Callable[[], int],
        client: Callable[[], Any],
        now: Callable[[], float] = time.time,
        spare: int = 0,
    ) -> None:
        """`seconds` is the longest that a request may take; `total` returns how many sandboxes there may be, and is
        called only when that matters. So many as are `spare` are left free even by a caller who is alone: where work
        fills all of them for minutes, nobody else gets as far as to ask."""
        self._table, self._seconds, self._total, self._client, self._now = table, seconds, total, client, now
        self._spare = spare
        self._contention = Contention(table, "sandboxes", client, now)

    def enter(self, caller: str | None, name: str) -> None:
        """Count the request with that name as running until `leave`, even if this raises.

        Raises AtCapacity if its caller has its share already.
        """
        if caller is None or not self._table:
            return
        now = self._now()
        is_contested = self._contention.register(caller)
        key = f"running#{caller}"
        leases = _set(self._client, self._table, key, name, int(now + self._seconds), int(now) + _ITEM_SECONDS)
        stale = [lease for lease, end in leases.items() if end <= now]
        _remove(self._client, self._table, key, stale)
        running = len(leases) - len(stale)
        if running <= 1 or not (is_contested or self._spare):
            return
        total = self._total()
        if is_contested and running > fair_half(total):
            raise AtCapacity(
                "Other callers are waiting, and you already use your half of the capacity. Try again in a moment.",
                retry_after=2,
            )
        if running > max(1, total - self._spare):
            raise AtCapacity(
                "You already use all of the capacity that is for you. Try again in a moment.", retry_after=2
            )

    def leave(self, caller: str | None, name: str) -> None:
        """Count the request as finished."""
        if caller is not None and self._table:
            _remove(self._client, self._table, f"running#{caller}", [name])

    @contextmanager
    def share(self, caller: str | None) -> Iterator[None]:
        """Count a request as running inside. Raises AtCapacity or StorageFailed."""
        name = new_id()
        try:
            self.enter(caller, name)
            yield
        finally:
            with suppress(StorageFailed):  # a lease that stays ends by itself
                self.leave(caller, name)


class Quota:
    """Items `quota#RESOURCE#WINDOW`: what each caller has used of an operator's quota at a service, in windows of equal
    length. Methods raise StorageFailed."""

    def __init__(
        self,
        table: str,
        resource: str,
        total: int,
        seconds: int,
        client: Callable[[], Any],
        now: Callable[[], float] = time.time,
    ) -> None:
        """`total` is what the service allows in `seconds`; 0 means that it is unknown, and then nobody is limited."""
        self._table, self._resource, self._total, self._seconds = table, resource, total, seconds
        self._client, self._now = client, now

    def check(self, caller: str, amount: int) -> None:
        """Raise AtCapacity if `take` would, without counting anything; or StorageFailed."""
        if not self._table or not self._total:
            return
        window, elapsed = divmod(int(self._now()), self._seconds)
        with translate_errors():
            response = self._client().get_item(TableName=self._table, Key={"id": {"S": self._key(window)}})
        usage = _numbers(response.get("Item", {}))
        if set(usage) - {caller} and usage.get(caller, 0) + amount > fair_half(self._total):
            raise self._capacity_error(elapsed)

    def take(self, caller: str, amount: int) -> None:
        """Count what is about to be used. Raises AtCapacity, having counted nothing, if it exceeds this caller's half
        and another caller has used something in the same window."""
        if not self._table or not self._total:
            return
        window, elapsed = divmod(int(self._now()), self._seconds)
        key, end = self._key(window), (window + 2) * self._seconds
        usage = _add(self._client, self._table, key, caller, amount, end)
        if len(usage) > 1 and usage[caller] > fair_half(self._total):
            _add(self._client, self._table, key, caller, -amount, end)
            raise self._capacity_error(elapsed)

    def _key(self, window: int) -> str:
        return f"quota#{self._resource}#{window}"

    def _capacity_error(self, elapsed: int) -> AtCapacity:
        return AtCapacity(
            f"Other callers use {self._resource} too, so each caller may use half of its quota, and you have used "
            "yours. Try again later.",
            retry_after=self._seconds - elapsed,
        )


def _set(client: Callable[[], Any], table: str, key: str, name: str, value: int, end: int) -> dict[str, int]:
    change = "SET #name = :value, expiration = :end"
    return _update(client, table, key, change, {"#name": _PREFIX + name}, {":value": value, ":end": end})


def _add(client: Callable[[], Any], table: str, key: str, name: str, amount: int, end: int) -> dict[str, int]:
    change = "ADD #name :value SET expiration = :end"
    return _update(client, table, key, change, {"#name": _PREFIX + name}, {":value": amount, ":end": end})


def _remove(client: Callable[[], Any], table: str, key: str, names: list[str]) -> None:
    if names:
        aliases = {f"#n{number}": _PREFIX + name for number, name in enumerate(names[:_MAX_STALE])}
        _update(client, table, key, f"REMOVE {', '.join(aliases)}", aliases, {})


def _update(
    client: Callable[[], Any], table: str, key: str, change: str, names: Mapping[str, str], values: Mapping[str, int]
) -> dict[str, int]:
    """Update the item; return the numbers that it has afterwards, by caller or lease."""
    numbers = {name: {"N": str(value)} for name, value in values.items()}
    with translate_errors():
        response = client().update_item(
            TableName=table,
            Key={"id": {"S": key}},
            UpdateExpression=change,
            ExpressionAttributeNames=dict(names),
            ReturnValues="ALL_NEW",
            **({"ExpressionAttributeValues": numbers} if numbers else {}),
        )
    return _numbers(response.get("Attributes", {}))


def _numbers(item: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
    """The numbers in an item, by caller or lease."""
    return {name.removeprefix(_PREFIX): int(value["N"]) for name, value in item.items() if name.startswith(_PREFIX)}
