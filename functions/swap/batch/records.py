"""Records of batches, and of their memes: items of the state table.

A meme's record is that of any swap, so that its result is its owner's like any other. It is in the index `by-caller`
too, under a sort key with the batch's id, which is how a batch finds its memes again; lists of results pass over it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from functions.swap.batch.values import Batch, Item, Outcome
from functions.swap.swap_records import BATCH_ITEMS, INDEX, KINDS
from layers.core.dynamodb import translate_errors
from layers.core.ids import is_id, time_sort_key

PAGE_ITEMS = 100  # that DynamoDB gives at once (BatchGetItem)
_IS_OPEN = "#state IN (:queued, :running)"
_OPEN: dict[str, Any] = {":queued": {"S": "queued"}, ":running": {"S": "running"}}
_STATE = {"#state": "state"}


class BatchRecords:
    """Items `batch#ID`. Every method raises StorageFailed if the table does not respond."""

    def __init__(
        self, table: str, client: Callable[[], Any], retention_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        """`client` returns the DynamoDB client when first needed; `retention_seconds` is how long a result is kept."""
        self._table = table
        self._client = client
        self._retention_seconds = retention_seconds
        self._now = now

    def find(self, name: str) -> Batch | None:
        """The batch; None if there is none, or if it has expired."""
        if not is_id(name):
            return None
        with translate_errors():
            item = self._client().get_item(TableName=self._table, Key=_key(name), ConsistentRead=True).get("Item")
        return _parse_batch(item) if item and float(item["expiration"]["N"]) > self._now() else None

    def add(self, batch: Batch) -> bool:
        """Record a batch, unless it is recorded already; whether it is new."""
        now = self._now()
        item = {
            **_key(batch.id),
            "kind": {"S": "batch"},
            "state": {"S": "queued"},
            "caller": {"S": batch.owner},
            "listed": {"S": time_sort_key(now, batch.id)},
            "created_at": {"N": str(int(now))},
            "expiration": {"N": str(int(now) + self._retention_seconds)},
            "prefix": {"S": batch.prefix},
            "request": {"S": json.dumps(batch.request)},
            "run": {"N": "1"},
            "total": {"N": str(batch.total)},
            **({"inputs": {"SS": sorted(batch.inputs)}} if batch.inputs else {}),
        }
        with translate_errors():
            client = self._client()
            condition = "attribute_not_exists(id) OR expiration <= :now"
            try:
                client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeValues={":now": {"N": str(int(now))}},
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def restart(self, name: str, run: int, total: int) -> Batch | None:
        """Queue a run after that one, which is over; None if another has been queued, or the batch deleted."""
        change = (
            "SET #state = :queued, #run = :next, #total = :total, #done = :zero, #failed = :zero, #expiration = :end "
            "REMOVE #error, #cause, #started_as"
        )
        names = ("run", "total", "done", "failed", "expiration", "error", "cause", "started_as")
        values = {
            ":queued": {"S": "queued"},
            ":run": {"N": str(run)},
            ":next": {"N": str(run + 1)},
            ":total": {"N": str(total)},
            ":zero": {"N": "0"},
            ":end": {"N": str(int(self._now()) + self._retention_seconds)},
            ":succeeded": {"S": "succeeded"},
            ":over": {"S": "failed"},
        }
        return self._update(name, change, "#state IN (:succeeded, :over) AND #run = :run", values, names)

    def begin(self, name: str, started_as: str = "") -> Batch | None:
        """Mark the run as under way; None if it is over, or the batch deleted.

        `started_as` is the name of the execution that an operator started.
        """
        if not started_as:
            return self._update(name, "SET #state = :running", _IS_OPEN, _OPEN, ())
        change, values = "SET #state = :running, #started_as = :started_as", {":started_as": {"S": started_as}, **_OPEN}
        return self._update(name, change, _IS_OPEN, values, ("started_as",))

    def count(self, name: str, outcome: Outcome, compute_ms: int, remote_dollars: float = 0.0) -> None:
        """Count a meme that is over, and what it took."""
        change = f"ADD #{outcome} :one, #ms :ms, #dollars :dollars"
        dollars = {"N": f"{remote_dollars:.7f}"}
        values = {":one": {"N": "1"}, ":ms": {"N": str(compute_ms)}, ":dollars": dollars, **_OPEN}
        names = {f"#{outcome}": outcome, "#ms": "compute_ms", "#dollars": "remote_dollars"}
        self._update(name, change, _IS_OPEN, values, names)

    def end(self, name: str, run: int, done: int, failed: int, error: str = "", cause: str = "") -> Batch | None:
        """Record how the run ended, with what is counted for certain; None if it is over, or the batch deleted."""
        change = "SET #state = :state, #done = :done, #failed = :failed, #total = :total"
        values = {
            ":state": {"S": "failed" if error else "succeeded"},
            ":done": {"N": str(done)},
            ":failed": {"N": str(failed)},
            ":total": {"N": str(done + failed)},
            ":run": {"N": str(run)},
            **_OPEN,
        }
        names: tuple[str, ...] = ("done", "failed", "total", "run")
        if error:
            change = f"{change}, #error = :error, #cause = :cause"
            values |= {":error": {"S": error}, ":cause": {"S": cause}}
            names = (*names, "error", "cause")
        return self._update(name, change, f"{_IS_OPEN} AND #run = :run", values, names)

    def mark_deleting(self, name: str) -> None:
        """Record that the batch is being deleted: no meme of it is begun, and no list has it."""
        change = "SET #state = :deleting REMOVE #listed"
        self._update(name, change, "attribute_exists(id)", {":deleting": {"S": "deleting"}}, ("listed",))

    def remove(self, name: str) -> None:
        """Delete the record, as if there never had been one."""
        with translate_errors():
            self._client().delete_item(TableName=self._table, Key=_key(name))

    def add_item(self, batch: Batch, name: str, key: str, request: Mapping[str, Any]) -> bool:
        """Record the swap of a meme, unless it is recorded already; whether it is new.

        One that failed in an earlier run, and did not move, is recorded anew.
        """
        now = self._now()
        condition = "attribute_not_exists(id) OR (#state = :failed AND #kind = :swap AND #run < :run)"
        owned = {"inputs": {"SS": [key]}} if batch.caller else {}  # what its owner deletes with it
        item = {
            "id": {"S": KINDS["swap"] + name},
            "kind": {"S": "swap"},
            "state": {"S": "queued"},
            "caller": {"S": batch.owner},
            "listed": {"S": f"{BATCH_ITEMS}{batch.id}#{name}"},
            "created_at": {"N": str(int(now))},
            "expiration": {"N": str(int(now) + self._retention_seconds)},
            "request": {"S": json.dumps(request)},
            "upload_key": {"S": key},
            "run": {"N": str(batch.run)},
            **owned,
        }
        with translate_errors():
            client = self._client()
            try:
                client.put_item(
                    TableName=self._table,
                    Item=item,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#state": "state", "#kind": "kind", "#run": "run"},
                    ExpressionAttributeValues={
                        ":failed": {"S": "failed"},
                        ":swap": {"S": "swap"},
                        ":run": {"N": str(batch.run)},
                    },
                )
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def claim_count(self, name: str, run: int) -> Item | None:
        """The meme of that id, the first time that this run asks; None every other time."""
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": KINDS["swap"] + name}},
                    UpdateExpression="SET #counted = :run",
                    ConditionExpression="attribute_exists(id) AND (attribute_not_exists(#counted) OR #counted < :run)",
                    ExpressionAttributeNames={"#counted": "counted"},
                    ExpressionAttributeValues={":run": {"N": str(run)}},
                    ReturnValues="ALL_NEW",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _parse_item(response["Attributes"])

    def items(self, batch: Batch) -> Iterator[list[Item]]:
        """Pages of the memes of a batch, of all its runs. The index may lag by a second."""
        start: dict[str, Any] = {}
        while True:
            with translate_errors():
                response = self._client().query(
                    TableName=self._table,
                    IndexName=INDEX,
                    KeyConditionExpression="#caller = :caller AND begins_with(#listed, :listed)",
                    ExpressionAttributeNames={"#caller": "caller", "#listed": "listed"},
                    ExpressionAttributeValues={
                        ":caller": {"S": batch.owner},
                        ":listed": {"S": f"{BATCH_ITEMS}{batch.id}#"},
                    },
                    Limit=PAGE_ITEMS,
                    **start,
                )
            if response["Items"]:
                yield self._read([each["id"] for each in response["Items"]])
            if "LastEvaluatedKey" not in response:
                return
            start = {"ExclusiveStartKey": response["LastEvaluatedKey"]}

    def _read(self, ids: list[Any]) -> list[Item]:
        """The memes of these ids, at most PAGE_ITEMS, as the table has them now."""
        items: list[Item] = []
        keys: Any = [{"id": each} for each in ids]
        while keys:
            with translate_errors():
                request = {self._table: {"Keys": keys, "ConsistentRead": True}}
                response = self._client().batch_get_item(RequestItems=request)
            items += [_parse_item(each) for each in response["Responses"].get(self._table, [])]
            keys = response.get("UnprocessedKeys", {}).get(self._table, {}).get("Keys")
        return items

    def _update(
        self, name: str, change: str, condition: str, values: Mapping[str, Any], names: tuple[str, ...] | dict[str, str]
    ) -> Batch | None:
        """Update the batch, and return it; None if the condition does not hold."""
        written = names if isinstance(names, dict) else {f"#{each}": each for each in names}
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
                    TableName=self._table,
                    Key=_key(name),
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={
                        each: value for each, value in {**_STATE, **written}.items() if each in change + condition
                    },
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _parse_batch(response["Attributes"])


def _key(name: str) -> dict[str, Any]:
    return {"id": {"S": KINDS["batch"] + name}}


def _parse_batch(item: Mapping[str, Any]) -> Batch:
    def number(name: str) -> int:
        return int(item[name]["N"]) if name in item else 0

    status: Any = item["state"]["S"]
    return Batch(
        id=item["id"]["S"].removeprefix(KINDS["batch"]),
        owner=item["caller"]["S"],
        prefix=item["prefix"]["S"],
        request=json.loads(item["request"]["S"]),
        status=status,
        run=number("run"),
        total=number("total"),
        done=number("done"),
        failed=number("failed"),
        compute_ms=number("compute_ms"),
        remote_dollars=float(item["remote_dollars"]["N"]) if "remote_dollars" in item else 0.0,
        inputs=frozenset(item["inputs"]["SS"]) if "inputs" in item else frozenset(),
        created_at=float(item["created_at"]["N"]),
        error=item["error"]["S"] if "error" in item else "",
        cause=item["cause"]["S"] if "cause" in item else "",
        started_as=item["started_as"]["S"] if "started_as" in item else "",
    )


def _parse_item(item: Mapping[str, Any]) -> Item:
    def text(name: str) -> str:
        return str(item[name]["S"]) if name in item else ""

    return Item(
        id=item["id"]["S"].removeprefix(KINDS["swap"]),
        status=text("state"),
        key=text("upload_key"),
        run=int(item["run"]["N"]) if "run" in item else 1,
        result=json.loads(text("result")) if "result" in item else None,
        error=text("error"),
        cause=text("cause"),
        compute_ms=int(item["compute_ms"]["N"]) if "compute_ms" in item else 0,
    )
