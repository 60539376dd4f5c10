"""Records of swaps and listings of moving memes: the same items as a still's swap, which tell how far the work is.

What belongs to an upload or to a workflow's own request has no caller, and is in nobody's list. A listing is in no list
either: it is no result.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Literal

from functions.swap.moving_state import Stage, UploadedObject
from functions.swap.swap_records import KINDS, SwapRecord, SwapRecords
from layers.core.dynamodb import translate_errors
from layers.core.ids import time_sort_key

MovingKind = Literal["moving", "faces"]
_IS_OPEN = "#state IN (:queued, :running)"
_OPEN: dict[str, Any] = {":queued": {"S": "queued"}, ":running": {"S": "running"}}


class MovingRecords(SwapRecords):
    """Records of all swaps. Every method raises StorageFailed if the table does not respond."""

    def queue_moving(
        self,
        name: str,
        caller: str | None,
        request: Mapping[str, Any],
        inputs: frozenset[str],
        *,
        kind: MovingKind = "moving",
        key: str = "",
        upload: UploadedObject | None = None,
    ) -> bool:
        """Record work on a moving meme, unless it is recorded already; whether it is new.

        `key`: of the result in the outputs bucket; "" for the usual one.
        """
        if not self._table:
            return True
        now = self._now()
        is_listed = caller and kind == "moving"
        item = {
            "id": {"S": KINDS["swap"] + name},
            "kind": {"S": kind},
            "state": {"S": "queued"},
            "stage": {"S": "queued"},
            "created_at": {"N": str(int(now))},
            "expiration": {"N": str(int(now) + self._retention_seconds)},
            "request": {"S": json.dumps(request)},
            **({"caller": {"S": caller}} if caller else {}),
            **({"listed": {"S": time_sort_key(now, name)}} if is_listed else {}),
            **({"inputs": {"SS": sorted(inputs)}} if inputs else {}),
            **({"target": {"S": key}} if key else {}),
            **({"upload": {"S": json.dumps(asdict(upload))}} if upload else {}),
        }
        with translate_errors():
            client = self._client()
            try:
                client.put_item(TableName=self._table, Item=item, ConditionExpression="attribute_not_exists(id)")
            except client.exceptions.ConditionalCheckFailedException:
                return False
        return True

    def hand_over(self, name: str, request: Mapping[str, Any], inputs: frozenset[str]) -> SwapRecord | None:
        """Turn a queued swap into that of a moving meme; None if it was deleted or is over."""
        change = "SET #state = :queued, #stage = :queued, #kind = :kind, #request = :request"
        values = {**_OPEN, ":kind": {"S": "moving"}, ":request": {"S": json.dumps(request)}}
        names = {"#stage": "stage", "#kind": "kind", "#request": "request"}
        if inputs:
            change, names["#inputs"] = f"{change}, #inputs = :inputs", "inputs"
            values[":inputs"] = {"SS": sorted(inputs)}
        return self._update(name, change, values, _IS_OPEN, names)

    def report(self, name: str, stage: Stage, done: int = 0, total: int = 0) -> None:
        """Record how many frames of a stage are done."""
        change = "SET #stage = :stage, #done = :done, #total = :total"
        values = {":stage": {"S": stage}, ":done": {"N": str(done)}, ":total": {"N": str(total)}}
        names = {"#stage": "stage", "#done": "done", "#total": "total"}
        self._update(name, change, {**values, **_OPEN}, _IS_OPEN, names)

    def start_swapping(self, name: str, face_frames: int) -> None:
        """Record that the meme is analysed, and how many faces will be swapped, each counted once for every frame."""
        change = "SET #stage = :stage, #faces = :faces"
        values = {":stage": {"S": "swapping"}, ":faces": {"N": str(face_frames)}}
        self._update(name, change, {**values, **_OPEN}, _IS_OPEN, {"#stage": "stage", "#faces": "face_frames"})

    def add_chunk(self, name: str, number: int, face_frames: int) -> None:
        """Record that a chunk is swapped; a second time changes nothing."""
        values = {":chunk": {"SS": [f"{number}:{face_frames}"]}, **_OPEN}
        self._update(name, "ADD #chunks :chunk", values, _IS_OPEN, {"#chunks": "chunks"})

    def add_compute(self, name: str, milliseconds: int) -> None:
        """Count what a step took, whether it succeeded or not."""
        values, names = {":ms": {"N": str(milliseconds)}}, {"#ms": "compute_ms"}
        self._update(name, "ADD #ms :ms", values, "attribute_exists(id) AND attribute_exists(#state)", names)

    def fail(self, name: str, error: str, cause: str) -> SwapRecord | None:
        """Record why it failed, by the name of the error's class; None if it was deleted or is over."""
        change = "SET #state = :failed, #error = :error, #cause = :cause REMOVE #request"
        values = {":failed": {"S": "failed"}, ":error": {"S": error}, ":cause": {"S": cause}, **_OPEN}
        names = {"#error": "error", "#cause": "cause", "#request": "request"}
        return self._update(name, change, values, _IS_OPEN, names)
