"""Who made what: one item of the state table for each swap that a caller asked for, beside the items of its videos.

A result's picture lies in S3 and tells nobody whose it is; that, and all that was kept to make it, stands here. The
index `by-caller` lists what one caller made, swaps and videos, the newest first.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from layers.core.dynamodb import translate_errors
from layers.core.errors import InvalidRequest, OutOfTime
from layers.core.ids import by_time, is_id

INDEX = "by-caller"
KINDS = {"swap": "result#", "video": "task#"}  # what precedes the id in the table's key
# A workflow ends after 900 s (swap.asl.yaml), and can then no longer say how; nor can one that was stopped by hand.
LONGEST_SECONDS = 960
_LISTED = re.compile(r"[0-9T:.+-]{10,40}#[0-9A-Za-z-]{1,64}")
_MOST_READ = 200  # index entries looked at for one page, some of which may have expired

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SwapRecord:
    """One swap. Times are seconds of the epoch."""

    id: str
    caller: str  # a pseudonym
    status: Status
    created_at: float
    request: Mapping[str, Any] | None = None  # as JSON has it, until the swap is over
    inputs: frozenset[str] = frozenset()  # keys in the uploads bucket
    result: Mapping[str, Any] | None = None  # as JSON has it
    latent: str | None = None  # key in the models bucket
    error: str | None = None  # name of the class
    cause: str | None = None


@dataclass(frozen=True)
class ResultSummary:
    """One line of what a caller made."""

    id: str
    kind: str
    status: str
    created_at: str  # RFC 3339


class SwapRecords:
    """Items `result#ID`. Every method raises StorageFailed when the table does not answer.

    Without a table nothing is kept: then nobody owns anything, and nothing can be listed.
    """

    def __init__(
        self, table: str, client: Callable[[], Any], kept_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        """`client` gives the DynamoDB client when first needed; `kept_seconds` is how long a result is kept."""
        self._table = table
        self._client = client
        self._kept = kept_seconds
        self._now = now

    def queue(self, name: str, caller: str, request: Mapping[str, Any], inputs: frozenset[str]) -> None:
        """A swap that a workflow will do."""
        self._put(name, caller, inputs, {"state": {"S": "queued"}, "request": {"S": json.dumps(request)}})

    def add(
        self, name: str, caller: str, inputs: frozenset[str], result: Mapping[str, Any], latent: str | None
    ) -> None:
        """A swap that is done."""
        self._put(name, caller, inputs, {"state": {"S": "succeeded"}, **_outcome(result, latent)})

    def begin(self, name: str) -> SwapRecord | None:
        """The swap, now running unless it is over; None where it is not there, or deleted by now."""
        change = "SET #state = :running"
        values = {":running": {"S": "running"}, ":queued": {"S": "queued"}}
        return self._update(name, change, values, "#state IN (:queued, :running)") or self.find(name)

    def finish(self, name: str, result: Mapping[str, Any], latent: str | None) -> bool:
        """The swap succeeded; False where it was deleted meanwhile."""
        outcome = {f":{key}": value for key, value in _outcome(result, latent).items()}
        sets = ", ".join(f"#{key[1:]} = {key}" for key in outcome)
        change = f"SET #state = :succeeded, {sets} REMOVE #request"
        names = {"#request": "request", **{f"#{key[1:]}": key[1:] for key in outcome}}
        values = {**outcome, ":succeeded": {"S": "succeeded"}}
        return self._update(name, change, values, "attribute_exists(id)", names) is not None

    def find(self, name: str) -> SwapRecord | None:
        """The swap as it is now; None where there is none, or none any more.

        One whose workflow can no longer say how it ended has failed from then on, and forgets what it was to do.
        """
        item = self._get(KINDS["swap"], name)
        entry = _entry(item) if item else None
        if entry and self._overdue(entry.status, entry.created_at):
            change = "SET #state = :failed, #error = :error REMOVE #request"
            names = {"#error": "error", "#request": "request"}
            values = {":failed": {"S": "failed"}, ":error": {"S": OutOfTime.__name__}}
            open_ = {":queued": {"S": "queued"}, ":running": {"S": "running"}}
            condition = "#state IN (:queued, :running)"
            return self._update(name, change, {**values, **open_}, condition, names) or self.find(name)
        return entry

    def owner(self, kind: str, name: str) -> str | None:
        """The pseudonym of who made the swap or video with that id; None where there is none."""
        item = self._get(KINDS[kind], name)
        return str(item["caller"]["S"]) if item and "caller" in item else None

    def remove(self, name: str) -> None:
        """As if it had never been asked for."""
        if self._table:
            with translate_errors():
                self._client().delete_item(TableName=self._table, Key={"id": {"S": KINDS["swap"] + name}})

    def page(self, caller: str, cursor: str | None, limit: int) -> tuple[list[ResultSummary], str | None]:
        """What the caller made, the newest first, `limit` lines at most; and the cursor of the next page, if any.

        Raises InvalidRequest for a cursor that no page gave.
        """
        start = _position(caller, cursor) if cursor else None
        lines: list[ResultSummary] = []
        read = 0
        while self._table and len(lines) < limit and read < _MOST_READ:
            with translate_errors():
                answer = self._client().query(
                    TableName=self._table,
                    IndexName=INDEX,
                    KeyConditionExpression="#caller = :caller",
                    ExpressionAttributeNames={"#caller": "caller"},
                    ExpressionAttributeValues={":caller": {"S": caller}},
                    ScanIndexForward=False,
                    Limit=limit - len(lines),
                    **({"ExclusiveStartKey": start} if start else {}),
                )
            read += len(answer["Items"])
            lines += [self._listed(item) for item in answer["Items"] if self._lives(item)]
            start = answer.get("LastEvaluatedKey")
            if start is None:
                break
        return lines, _cursor(start) if start else None

    def _put(self, name: str, caller: str, inputs: frozenset[str], attributes: Item) -> None:
        if not self._table:
            return
        now = self._now()
        item = {
            "id": {"S": KINDS["swap"] + name},
            "kind": {"S": "swap"},
            "caller": {"S": caller},
            "listed": {"S": by_time(now, name)},
            "created_at": {"N": str(int(now))},
            "expiration": {"N": str(int(now) + self._kept)},
            **({"inputs": {"SS": sorted(inputs)}} if inputs else {}),
            **attributes,
        }
        with translate_errors():
            self._client().put_item(TableName=self._table, Item=item)

    def _get(self, prefix: str, name: str) -> Item | None:
        if not self._table or not is_id(name):
            return None
        key = {"id": {"S": prefix + name}}
        with translate_errors():
            item = self._client().get_item(TableName=self._table, Key=key, ConsistentRead=True).get("Item")
        return item if item and self._lives(item) else None

    def _overdue(self, status: str, created_at: float) -> bool:
        return status in ("queued", "running") and self._now() - created_at > LONGEST_SECONDS

    def _listed(self, item: Item) -> ResultSummary:
        kind, status, created_at = item["kind"]["S"], item["state"]["S"], int(item["created_at"]["N"])
        moment = datetime.fromtimestamp(created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        overdue = kind == "swap" and self._overdue(status, created_at)
        return ResultSummary(item["id"]["S"].partition("#")[2], kind, "failed" if overdue else status, moment)

    def _lives(self, item: Item) -> bool:
        """DynamoDB may take two days to remove what has expired."""
        return float(item["expiration"]["N"]) > self._now() if "expiration" in item else True

    def _update(
        self, name: str, change: str, values: Mapping[str, Any], condition: str, names: Mapping[str, str] | None = None
    ) -> SwapRecord | None:
        """The swap after the change; None where the condition does not hold."""
        if not self._table:
            return None
        with translate_errors():
            client = self._client()
            try:
                answer = client.update_item(
                    TableName=self._table,
                    Key={"id": {"S": KINDS["swap"] + name}},
                    UpdateExpression=change,
                    ConditionExpression=condition,
                    ExpressionAttributeNames={"#state": "state", **(names or {})},
                    ExpressionAttributeValues=values,
                    ReturnValues="ALL_NEW",
                )
            except client.exceptions.ConditionalCheckFailedException:
                return None
        return _entry(answer["Attributes"])


def _outcome(result: Mapping[str, Any], latent: str | None) -> dict[str, Any]:
    return {"result": {"S": json.dumps(result)}, **({"latent": {"S": latent}} if latent else {})}


def _entry(item: Item) -> SwapRecord:
    def text(name: str) -> str | None:
        return str(item[name]["S"]) if name in item else None

    request, result = text("request"), text("result")
    state: Any = item["state"]["S"]
    return SwapRecord(
        id=item["id"]["S"].removeprefix(KINDS["swap"]),
        caller=item["caller"]["S"],
        status=state,
        created_at=float(item["created_at"]["N"]),
        request=json.loads(request) if request else None,
        inputs=frozenset(item["inputs"]["SS"]) if "inputs" in item else frozenset(),
        result=json.loads(result) if result else None,
        latent=text("latent"),
        error=text("error"),
        cause=text("cause"),
    )


def _cursor(key: Item) -> str:
    return base64.urlsafe_b64encode(json.dumps([key["id"]["S"], key["listed"]["S"]]).encode()).decode().rstrip("=")


def _position(caller: str, cursor: str) -> dict[str, Any]:
    """Where a page begins; of this caller's own entries, whatever the cursor says."""
    try:
        name, listed = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        prefix, _, result_id = name.partition("#")
        if f"{prefix}#" not in KINDS.values() or not is_id(result_id) or not _LISTED.fullmatch(listed):
            raise ValueError
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise InvalidRequest("This cursor is not one that a page of results gave as `next`.") from None
    return {"id": {"S": name}, "caller": {"S": caller}, "listed": {"S": listed}}
