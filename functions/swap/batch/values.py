"""What a batch is: one face for every meme under a prefix of the uploads bucket."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from functions.swap.swap_records import OPERATOR

MAX_MEMES = 10_000  # of one batch
TOLERATED_PERCENT = 20  # of memes that may fail by a fault of the stack before the rest is left alone (batch.asl.yaml)
LONGEST_SECONDS = 24 * 3600  # of a run (batch.asl.yaml); uploads last no longer
REPORTS = "batches/"  # of the outputs bucket

BatchStatus = Literal["queued", "running", "succeeded", "failed", "deleting"]
Outcome = Literal["done", "failed"]


@dataclass(frozen=True)
class Batch:
    """One batch and its latest run. Times are in seconds since the epoch."""

    id: str
    owner: str  # a pseudonym, or OPERATOR where somebody started the workflow themselves
    prefix: str  # of keys in the uploads bucket
    request: Mapping[str, Any]  # of every meme, as JSON has it, but for the meme
    status: BatchStatus = "queued"
    run: int = 1  # counted from 1; every restart is a run of its own
    total: int = 0  # memes that lay there when the run was asked for
    done: int = 0
    failed: int = 0
    compute_ms: int = 0  # of all runs
    remote_dollars: float = 0.0  # of all runs: for what ran elsewhere
    inputs: frozenset[str] = frozenset()  # keys in the uploads bucket of pictures that came with the request
    created_at: float = 0.0
    error: str = ""  # name of the error's class
    cause: str = ""
    started_as: str = ""  # name of the run's execution where an operator started it

    @property
    def is_open(self) -> bool:
        """Whether a run is under way."""
        return self.status in ("queued", "running")

    @property
    def caller(self) -> str | None:
        """Who pays for it; nobody for the stack's own principals."""
        return None if self.owner == OPERATOR else self.owner

    @property
    def folder(self) -> str:
        """Where in the outputs bucket its report is."""
        return f"{REPORTS}{self.id}/"

    @property
    def report_key(self) -> str:
        """The key of the report in the outputs bucket."""
        return f"{self.folder}report.json"

    @property
    def execution(self) -> str:
        """The name of the run's execution, which Step Functions takes once in 90 days: a batch that was deleted, or has
        expired, may be made again."""
        return self.started_as or f"{self.id}-{self.run}-{int(self.created_at)}"


@dataclass(frozen=True)
class Item:
    """What a batch remembers of one meme."""

    id: str  # of its swap
    status: str
    key: str  # of the upload
    run: int = 1  # that swapped it
    result: Mapping[str, Any] | None = None
    error: str = ""
    cause: str = ""
    compute_ms: int = 0


def name_batch(owner: str, prefix: str, request: Mapping[str, Any]) -> str:
    """The id of a batch: the same request for the same prefix is the same batch, however often it is asked for."""
    return _digest("batch", owner, prefix, json.dumps(request, sort_keys=True))


def name_item(batch: str, key: str, etag: str) -> str:
    """The id of the swap of one object: an object that is replaced is another one."""
    return _digest("meme", batch, key, etag)


def _digest(*parts: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(parts)))
