"""Records of batches in memory, beside those of their memes; test_batch_records.py tests the table itself."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from functions.swap.batch.records import BatchRecords
from functions.swap.batch.values import Batch, Item, Outcome
from functions.swap.swap_records import OPERATOR, SwapRecord
from tests.unit.swap.fake_stack import MemoryRecords


class MemoryBatches(BatchRecords):
    """Batches in a dictionary."""

    def __init__(self, records: MemoryRecords) -> None:
        super().__init__("", dict, 7 * 24 * 3600)
        self.records = records
        self.batches: dict[str, Batch] = {}
        self.keys: dict[str, tuple[str, str]] = {}  # batch and key of each meme, by its id
        self.counted: dict[str, int] = {}

    def find(self, name: str) -> Batch | None:
        return self.batches.get(name)

    def add(self, batch: Batch) -> bool:
        if batch.id in self.batches:
            return False
        stored = json.loads(json.dumps(batch.request))
        self.batches[batch.id] = replace(batch, request=stored, created_at=self._now())
        return True

    def restart(self, name: str, run: int, total: int) -> Batch | None:
        batch = self.batches.get(name)
        if batch is None or batch.status not in ("succeeded", "failed") or batch.run != run:
            return None
        fresh: dict[str, Any] = {"done": 0, "failed": 0, "error": "", "cause": "", "started_as": ""}
        return self._keep(replace(batch, status="queued", run=run + 1, total=total, **fresh))

    def begin(self, name: str, started_as: str = "") -> Batch | None:
        batch = self.batches.get(name)
        if batch is None or not batch.is_open:
            return None
        return self._keep(replace(batch, status="running", started_as=started_as or batch.started_as))

    def count(self, name: str, outcome: Outcome, compute_ms: int, remote_dollars: float = 0.0) -> None:
        batch = self.batches[name]
        more: dict[str, Any] = {outcome: getattr(batch, outcome) + 1}
        dollars = batch.remote_dollars + remote_dollars
        self._keep(replace(batch, compute_ms=batch.compute_ms + compute_ms, remote_dollars=dollars, **more))

    def end(self, name: str, run: int, done: int, failed: int, error: str = "", cause: str = "") -> Batch | None:
        batch = self.batches.get(name)
        if batch is None or not batch.is_open or batch.run != run:
            return None
        counts: dict[str, Any] = {"done": done, "failed": failed, "total": done + failed}
        return self._keep(replace(batch, status="failed" if error else "succeeded", error=error, cause=cause, **counts))

    def mark_deleting(self, name: str) -> None:
        self._keep(replace(self.batches[name], status="deleting"))

    def remove(self, name: str) -> None:
        self.batches.pop(name, None)

    def add_item(self, batch: Batch, name: str, key: str, request: Mapping[str, Any]) -> bool:
        old = self.records.items.get(name)
        if old and not (old.status == "failed" and old.kind == "swap" and old.run < batch.run):
            return False
        inputs = frozenset({key}) if batch.caller else frozenset()
        owner = "" if batch.owner == OPERATOR else batch.owner
        stored = json.loads(json.dumps(request))
        self.records.items[name] = SwapRecord(name, owner, "queued", self._now(), stored, inputs, run=batch.run)
        self.keys[name] = (batch.id, key)
        return True

    def claim_count(self, name: str, run: int) -> Item | None:
        if name not in self.records.items or self.counted.get(name, 0) >= run:
            return None
        self.counted[name] = run
        return self._item(name)

    def items(self, batch: Batch) -> Iterator[list[Item]]:
        names = [name for name, (owner, _) in self.keys.items() if owner == batch.id and name in self.records.items]
        yield [self._item(name) for name in names]

    def _item(self, name: str) -> Item:
        record = self.records.items[name]
        return Item(
            name,
            record.status,
            self.keys[name][1],
            record.run,
            record.result,
            record.error or "",
            record.cause or "",
            record.moving.compute_ms if record.moving else 7,
        )

    def _keep(self, batch: Batch) -> Batch:
        self.batches[batch.id] = batch
        return batch
