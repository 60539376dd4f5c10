"""The report of a run: what was done, what failed and why, and what it cost."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from functions.swap.batch.values import TOLERATED_PERCENT, Batch, Item
from functions.swap.moving_end import name_failure
from functions.swap.moving_state import DOLLARS_PER_GB_SECOND, ComputeCost
from functions.swap.services import Services
from layers.core.errors import ColdswapError, InternalError, family
from layers.core.telemetry import count_fault, logger

JSON = "application/json"
TOO_MANY = "States.ExceedToleratedFailureThreshold"


def end(services: Services, batch: Batch, error: str, cause: str) -> dict[str, Any]:
    """Write the report of a run that is over, and record how it ended: well, or with that error of the workflow.

    Raises StorageFailed.
    """
    items = latest(item for page in services.batches.items(batch) for item in page)
    failures = Counter(item.error for item in items if item.status != "succeeded")
    done, failed = len(items) - failures.total(), failures.total()
    problem = _explain(error, cause, failures) if error else None
    document = {
        "batch": batch.id,
        "run": batch.run,
        "ended_at": datetime.fromtimestamp(time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "counts": {"done": done, "failed": failed, "total": done + failed},
        "cost": _cost_document(reckon_cost(items, services.settings.memory_mb)),
        "memes": [_describe(item) for item in items],
    }
    services.storage.write(services.settings.outputs_bucket, batch.report_key, json.dumps(document).encode(), JSON)
    name, sentence = (type(problem).__name__, problem.detail) if problem else ("", "")
    services.batches.end(batch.id, batch.run, done, failed, name, sentence)
    if problem and error != TOO_MANY:  # the memes' own faults are counted already
        count_fault(problem, raised_here=False)
    logger().info("batch ended", extra={"batch": batch.id, "done": done, "failed": failed, "error": name})
    return {"batch": batch.id, "done": done, "failed": failed, "error": name, "cause": sentence}


def latest(items: Iterable[Item]) -> list[Item]:
    """Of each upload the swap of its latest run, by their keys."""
    by_key: dict[str, Item] = {}
    for item in items:
        other = by_key.get(item.key)
        if other is None or (item.run, item.status == "succeeded") >= (other.run, other.status == "succeeded"):
            by_key[item.key] = item
    return [by_key[key] for key in sorted(by_key)]


def reckon_cost(items: Iterable[Item], memory_mb: int) -> ComputeCost:
    """What these memes took of Lambda, and elsewhere."""
    every = list(items)
    return price(sum(item.compute_ms for item in every), sum(remote_dollars(item) for item in every), memory_mb)


def price(compute_ms: int, dollars_elsewhere: float, memory_mb: int) -> ComputeCost:
    """The cost of that many milliseconds in a function with that much memory, and of what ran elsewhere."""
    gb_seconds = compute_ms / 1000 * memory_mb / 1024
    return ComputeCost(round(gb_seconds, 2), round(gb_seconds * DOLLARS_PER_GB_SECOND + dollars_elsewhere, 7))


def remote_dollars(item: Item) -> float:
    """What was paid for one meme elsewhere."""
    return float(((item.result or {}).get("remote") or {}).get("dollars", 0.0))


def _cost_document(cost: ComputeCost) -> dict[str, float]:
    return {"gb_seconds": cost.gb_seconds, "dollars": cost.dollars}


def _explain(error: str, cause: str, failures: Counter[str]) -> ColdswapError:
    """Why a run ended early, in the words of the fault that most memes had."""
    if error != TOO_MANY:
        return name_failure(error, cause)
    name = failures.most_common(1)[0][0] if failures else ""
    kind = family().get(name, InternalError)
    return kind(f"More than {TOLERATED_PERCENT} % of the memes failed through a fault of the stack: see the report.")


def _describe(item: Item) -> dict[str, Any]:
    """One meme, as the report names it: by its upload and its swap."""
    document: dict[str, Any] = {"upload": item.key, "swap": item.id, "status": item.status}
    if item.status == "succeeded":
        result = item.result or {}
        faces = result.get("faces", [])
        return {
            **document,
            "key": result.get("key"),
            "faces": sum(bool(face.get("swapped")) for face in faces),
            "models": result.get("models"),
            "ms": item.compute_ms,
        }
    if item.status != "failed":
        return {**document, "status": "failed", "code": "out_of_time", "detail": "The run ended before it was done."}
    kind = family().get(item.error, InternalError)
    problem = kind(item.cause or None)
    return {**document, "code": problem.code, "detail": problem.detail}
