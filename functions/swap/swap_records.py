"""Records of callers' swaps: one item of the state table for each, beside the items of their videos.

The picture in S3 does not say whose it is; its record does, and it lists everything that was stored to make it. The
index `by-caller` lists what one caller has made, swaps and videos, the newest first.
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

from functions.swap.moving_state import MovingState, parse_state
from layers.core.dynamodb import translate_errors
from layers.core.errors import InvalidRequest, OutOfTime
from layers.core.ids import is_id, time_sort_key

INDEX = "by-caller"
KINDS = {"swap": "result#", "video": "task#", "batch": "batch#"}  # the prefix of the id in the table's key
BATCH_ITEMS = "batch#"  # begins the sort key of a batch's memes in the index; no list of results has them
OPERATOR = "operator"  # the index's word for a batch's memes that belong to no caller
DELETED = "deleted#"  # the same, of what remains of a swap that its caller deleted
# A workflow is stopped after 900 s (swap.asl.yaml) and then cannot record how it ended; nor can one stopped by hand.
OVERDUE_SECONDS = 960
MOVING_OVERDUE_SECONDS = 7260  # the same of a moving meme's, after 7,200 s (moving.asl.yaml)
_SORT_KEY = re.compile(r"[0-9T:.+-]{10,40}#[0-9A-Za-z-]{1,64}")
_MAX_ITEMS_READ = 200  # for one page; some may have expired

Status = Literal["queued", "running", "succeeded", "failed", "cancelled"]
Kind = Literal["swap", "moving", "faces"]  # a still's, a moving meme's, a list of the people in a moving meme
Item = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class SwapRecord:
    """One swap. Times are in seconds since the epoch."""

    id: str
    caller: str  # a pseudonym; "" for what belongs to the stack's own principals
    status: Status
    created_at: float
    request: Mapping[str, Any] | None = None  # as JSON has it, until the swap is over
    inputs: frozenset[str] = frozenset()  # keys in the uploads bucket
    result: Mapping[str, Any] | None = None  # as JSON has it
    latent_keys: frozenset[str] = frozenset()  # in the models bucket
    error: str | None = None  # name of the error's class
    cause: str | None = None
    kind: Kind = "swap"
    moving: MovingState | None = None
    run: int = 0  # of its batch that swaps it; 0 of what is in none


@dataclass(frozen=True)
class ResultSummary:
    """A swap, a video or a batch in the list of what a caller has made."""

    id: str
    kind: str
    status: str
    created_at: str  # RFC 3339


class SwapRecords:
    """Items `result#ID`, and `deleted#ID` of what was deleted.

    Every method raises StorageFailed if the table does not respond.

    Without a table nothing is stored: nobody owns anything, and nothing can be listed.
    """

    def __init__(
        self, table: str, client: Callable[[], Any], retention_seconds: int, now: Callable[[], float] = time.time
    ) -> None:
        """`client` returns the DynamoDB client when first needed; `retention_seconds` is how long a result is kept."""
        self._table = table
        self._client = client
        self._retention_seconds = retention_seconds
        self._now = now

    def queue(self, name: str, caller: str, request: Mapping[str, Any], inputs: frozenset[str]) -> None:
        """Record a swap that a workflow will do."""
        self._put(name, caller, inputs, {"state": {"S": "queued"}, "request": {"S": json.dumps(request)}})

    def add(
        self, name: str, caller: str, inputs: frozenset[str], result: Mapping[str, Any], latent_keys: frozenset[str]
    ) -> None:
        """Record a swap that is done."""
        self._put(name, caller, inputs, {"state": {"S": "succeeded"}, **_outcome_attributes(result, latent_keys)})

    def begin(self, name: str) -> SwapRecord | None:
        """Mark the swap as running, unless it is over. Returns it; None if there is none, or if it was deleted."""
        change = "SET #state = :running"
        values = {":running": {"S": "running"}, ":queued": {"S": "queued"}}
        return self._update(name, change, values, "#state IN (:queued, :running)") or self.find(name)

    def finish(self, name: str, result: Mapping[str, Any], latent_keys: frozenset[str]) -> bool:
        """Record that the swap succeeded. Returns False if it was deleted meanwhile."""
        outcome = {f":{key}": value for key, value in _outcome_attributes(result, latent_keys).items()}
        sets = ", ".join(f"#{key[1:]} = {key}" for key in outcome)
        change = f"SET #state = :succeeded, {sets} REMOVE #request"
        names = {"#request": "request", **{f"#{key[1:]}": key[1:] for key in outcome}}
        values = {**outcome, ":succeeded": {"S": "succeeded"}}
        return self._update(name, change, values, "attribute_exists(id)", names) is not None

    def find(self, name: str) -> SwapRecord | None:
        """The swap; None if there is none, or if it was deleted or has expired.

        A swap that is overdue is recorded as failed, and its request is removed.
        """
        item = self._get(KINDS["swap"], name)
        record = _parse_record(item) if item else None
        if record and self._is_overdue(record.status, record.created_at, record.kind):
            change = "SET #state = :failed, #error = :error REMOVE #request"
            names = {"#error": "error", "#request": "request"}
            values = {":failed": {"S": "failed"}, ":error": {"S": OutOfTime.__name__}}
            open_ = {":queued": {"S": "queued"}, ":running": {"S": "running"}}
            condition = "#state IN (:queued, :running)"
            return self._update(name, change, {**values, **open_}, condition, names) or self.find(name)
        return record

    def owner(self, kind: str, name: str) -> str | None:
        """The pseudonym of the caller who made the swap or video with that id; None if there is none."""
        item = self._get(KINDS[kind], name)
        return str(item["caller"]["S"]) if item and "caller" in item else None

    def remove(self, name: str) -> None:
        """Delete the record, as if there never had been one."""
        if self._table:
            with translate_errors():
                self._client().delete_item(TableName=self._table, Key={"id": {"S": KINDS["swap"] + name}})

    def delete(self, name: str, caller: str) -> None:
        """Delete the record, and remember for its caller that there was one, for as long as a result is kept."""
        self.remember_deletion(name, caller)
        self.remove(name)

    def remember_deletion(self, name: str, caller: str) -> None:
        """Remember for its caller that there was a swap or a batch with that id."""
        if not self._table:
            return
        item = {
            "id": {"S": DELETED + name},
            "caller": {"S": caller},
            "expiration": {"N": str(int(self._now()) + self._retention_seconds)},
        }
        with translate_errors():
            self._client().put_item(TableName=self._table, Item=item)

    def was_deleted(self, name: str, caller: str) -> bool:
        """Whether that caller deleted a swap with that id."""
        item = self._get(DELETED, name)
        return item is not None and item["caller"]["S"] == caller

    def page(self, caller: str, cursor: str | None, limit: int) -> tuple[list[ResultSummary], str | None]:
        """What the caller has made, the newest first, at most `limit` items; and the cursor of the next page, if any.

        Raises InvalidRequest for a cursor that did not come from a page.
        """
        start = _decode_cursor(caller, cursor) if cursor else None
        items: list[ResultSummary] = []
        read = 0
        while self._table and len(items) < limit and read < _MAX_ITEMS_READ:
            with translate_errors():
                response = self._client().query(
                    TableName=self._table,
                    IndexName=INDEX,
                    KeyConditionExpression="#caller = :caller AND #listed < :words",
                    ExpressionAttributeNames={"#caller": "caller", "#listed": "listed"},
                    ExpressionAttributeValues={":caller": {"S": caller}, ":words": {"S": BATCH_ITEMS}},
                    ScanIndexForward=False,
                    Limit=limit - len(items),
                    **({"ExclusiveStartKey": start} if start else {}),
                )
            read += len(response["Items"])
            items += [self._summarise(item) for item in response["Items"] if self._is_live(item)]
            start = response.get("LastEvaluatedKey")
            if start is None:
                break
        return items, _encode_cursor(start) if start else None

    def _put(self, name: str, caller: str, inputs: frozenset[str], attributes: Item) -> None:
        if not self._table:
            return
        now = self._now()
        item = {
            "id": {"S": KINDS["swap"] + name},
            "kind": {"S": "swap"},
            "caller": {"S": caller},
            "listed": {"S": time_sort_key(now, name)},
            "created_at": {"N": str(int(now))},
            "expiration": {"N": str(int(now) + self._retention_seconds)},
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
        return item if item and self._is_live(item) else None

    def _is_overdue(self, status: str, created_at: float, kind: str) -> bool:
        longest = OVERDUE_SECONDS if kind == "swap" else MOVING_OVERDUE_SECONDS
        return status in ("queued", "running") and self._now() - created_at > longest

    def _summarise(self, item: Item) -> ResultSummary:
        kind, status, created_at = item["kind"]["S"], item["state"]["S"], int(item["created_at"]["N"])
        moment = datetime.fromtimestamp(created_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        overdue = kind not in ("video", "batch") and self._is_overdue(status, created_at, kind)
        shown = "swap" if kind == "moving" else kind
        return ResultSummary(item["id"]["S"].partition("#")[2], shown, "failed" if overdue else status, moment)

    def _is_live(self, item: Item) -> bool:
        """Whether the item has not expired; DynamoDB may take two days to remove one that has."""
        return float(item["expiration"]["N"]) > self._now() if "expiration" in item else True

    def _update(
        self, name: str, change: str, values: Mapping[str, Any], condition: str, names: Mapping[str, str] | None = None
    ) -> SwapRecord | None:
        """Update the swap, and return it; None if the condition does not hold."""
        if not self._table:
            return None
        with translate_errors():
            client = self._client()
            try:
                response = client.update_item(
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
        return _parse_record(response["Attributes"])


def _outcome_attributes(result: Mapping[str, Any], latent_keys: frozenset[str]) -> dict[str, Any]:
    return {"result": {"S": json.dumps(result)}, **({"latents": {"SS": sorted(latent_keys)}} if latent_keys else {})}


def _parse_record(item: Item) -> SwapRecord:
    def text(name: str) -> str | None:
        return str(item[name]["S"]) if name in item else None

    request, result = text("request"), text("result")
    state: Any = item["state"]["S"]
    kind: Any = text("kind") or "swap"
    owner = text("caller") or ""
    return SwapRecord(
        id=item["id"]["S"].removeprefix(KINDS["swap"]),
        caller="" if owner == OPERATOR else owner,
        status=state,
        created_at=float(item["created_at"]["N"]),
        request=json.loads(request) if request else None,
        inputs=frozenset(item["inputs"]["SS"]) if "inputs" in item else frozenset(),
        result=json.loads(result) if result else None,
        latent_keys=_parse_latent_keys(item),
        error=text("error"),
        cause=text("cause"),
        kind=kind,
        moving=parse_state(item),
        run=int(item["run"]["N"]) if "run" in item else 0,
    )


def _parse_latent_keys(item: Item) -> frozenset[str]:
    """`latents`; items written while a swap had one source have `latent`."""
    return frozenset(item["latents"]["SS"] if "latents" in item else [item["latent"]["S"]] if "latent" in item else [])


def _encode_cursor(key: Item) -> str:
    return base64.urlsafe_b64encode(json.dumps([key["id"]["S"], key["listed"]["S"]]).encode()).decode().rstrip("=")


def _decode_cursor(caller: str, cursor: str) -> dict[str, Any]:
    """Where a page begins: always among this caller's own items, whatever the cursor says."""
    try:
        name, sort_key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        prefix, _, result_id = name.partition("#")
        if f"{prefix}#" not in KINDS.values() or not is_id(result_id) or not _SORT_KEY.fullmatch(sort_key):
            raise ValueError
    except (ValueError, TypeError, AttributeError, binascii.Error, RecursionError):
        raise InvalidRequest("This cursor is not valid. Use next from a page of results.") from None
    return {"id": {"S": name}, "caller": {"S": caller}, "listed": {"S": sort_key}}
