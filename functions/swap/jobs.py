"""Swaps that a state machine does while the caller goes on: how they start, and how far they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from functions.swap.swap_records import Status, SwapRecord
from layers.core.errors import InternalError, InvalidRequest, StorageFailed, family, problem


@dataclass(frozen=True)
class Job:
    """How far a swap is; `result` once it succeeded, `problem` (RFC 9457) once it failed."""

    id: str
    status: Status
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None


class Jobs:
    """Executions of one state machine, named by the swap's id. They know nothing but that: what a swap is to do stands
    in the ledger, from where it can be deleted; an execution's history is kept for 90 days and cannot."""

    def __init__(self, state_machine_arn: str, client: Callable[[], Any]) -> None:
        """`client` gives the Step Functions client when first needed; an empty ARN means that there is none."""
        self._arn = state_machine_arn
        self._client = client

    def require(self) -> None:
        """Raises InvalidRequest where the stack has no state machine."""
        if not self._arn:
            raise InvalidRequest("This stack has no state machine, so Prefer: respond-async is not possible.")

    def start(self, name: str) -> None:
        """Start the swap of that id. The same name again starts nothing new. Raises StorageFailed."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client()
        try:
            client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps({"swap": name}))
        except client.exceptions.ExecutionAlreadyExists:
            return
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed("Step Functions did not start the swap. Try again.") from error


def job(entry: SwapRecord) -> Job:
    """How far the swap in the ledger is."""
    instance = f"/swap/{entry.id}"
    match entry.status:
        case "succeeded":
            return Job(entry.id, "succeeded", result=dict(entry.result or {}))
        case "failed":
            kind = family().get(entry.error or "", InternalError)
            return Job(entry.id, "failed", problem=problem(kind(entry.cause), instance=instance))
        case status:
            return Job(entry.id, status)
