"""The outcome of an upload `memes/NAME` in the outputs bucket: `swapped/NAME` and `swapped/NAME.json`, or
`failed/NAME.json`, never both for long.

What is new is written before what is old is deleted, so that there is always an outcome. If an invocation is killed in
between, its event is delivered again and does both once more.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from layers.core.errors import ColdswapError, problem

if TYPE_CHECKING:
    from layers.core.storage import Storage

JSON = "application/json"
PROBLEM = "application/problem+json"
MAX_TRIES = 3  # of an event: EventInvokeConfig.MaximumRetryAttempts in template.yaml, and the first
LAST_TRY_SECONDS = (
    3600 + 120
)  # after which none is to be expected: MaximumEventAgeInSeconds, and the function's Timeout


class UploadOutcomes:
    """Outcomes in one bucket. Every method raises StorageFailed."""

    def __init__(self, storage: Storage, bucket: str, now: float | None = None) -> None:
        self._storage = storage
        self._bucket = bucket
        self._now = time.time() if now is None else now

    def add_result(self, name: str, result: Mapping[str, Any]) -> str:
        """Write what is to be said of a picture that is at `swapped/NAME` by now; the picture's key."""
        self._write(f"swapped/{name}.json", result, JSON)
        self._storage.delete(self._bucket, f"failed/{name}.json")
        return f"swapped/{name}"

    def add_problem(
        self, name: str, error: ColdswapError, extra: Mapping[str, Any], *, instance: str, tries: int
    ) -> str:
        """Write why there is no result; its key. `tries`: how many have failed of an event that may be tried again, or
        MAX_TRIES for one that is not."""
        will_be_retried = tries < MAX_TRIES
        document = {**problem(error, instance=instance), **extra, "will_be_retried": will_be_retried}
        if will_be_retried:
            latest = datetime.fromtimestamp(self._now + LAST_TRY_SECONDS, UTC)
            document["retried_until"] = latest.strftime("%Y-%m-%dT%H:%M:%SZ")
        key = f"failed/{name}.json"
        self._write(key, document, PROBLEM)
        for old in (f"swapped/{name}.json", f"swapped/{name}"):
            self._storage.delete(self._bucket, old)
        return key

    def _write(self, key: str, document: Mapping[str, Any], content_type: str) -> None:
        self._storage.write(self._bucket, key, json.dumps(document).encode(), content_type)
