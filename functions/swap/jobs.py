"""Swaps that a state machine does while the caller goes on: how they are started, and what their state is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from functions.swap.moving_state import ComputeCost, Progress, Stage, measure_progress, reckon_cost
from functions.swap.swap_records import Status, SwapRecord
from layers.core.errors import InternalError, InvalidRequest, StorageFailed, family, problem


@dataclass(frozen=True)
class Job:
    """The state of a swap, with `result` once it has succeeded and `problem` (RFC 9457) once it has failed."""

    id: str
    status: Status
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None
    stage: Stage | None = None  # this and what follows: of a moving meme
    progress: Progress | None = None
    cost: ComputeCost | None = None


class Jobs:
    """Executions of one state machine, each named by its swap's id.

    The id is all that an execution is given. The request itself is in the swap's record, which can be deleted; an
    execution's history is kept for 90 days and cannot.
    """

    def __init__(self, state_machine_arn: str, client: Callable[[], Any]) -> None:
        """`client` returns the Step Functions client when first needed. With an empty ARN there is no state machine."""
        self._arn = state_machine_arn
        self._client = client

    def require(self) -> None:
        """Raises InvalidRequest where the stack has no state machine."""
        if not self._arn:
            raise InvalidRequest("This stack has no state machine for that, so nothing is done while you go on.")

    def stop(self, name: str) -> None:
        """Stop the execution of that name, if it is running; a step that is running goes on until it looks.

        Raises StorageFailed.
        """
        from botocore.exceptions import BotoCoreError, ClientError

        client, arn = self._client(), f"{self._arn.replace(':stateMachine:', ':execution:', 1)}:{name}"
        try:
            client.stop_execution(executionArn=arn, error="Cancelled", cause="It was deleted.")
        except client.exceptions.ExecutionDoesNotExist:
            return
        except (BotoCoreError, ClientError) as error:
            if getattr(error, "response", {}).get("Error", {}).get("Code") != "ValidationException":  # it is over
                raise StorageFailed("Step Functions did not stop the work. Try again.") from error

    def start(self, name: str, given: Mapping[str, Any] | None = None) -> None:
        """Start the execution of that name, unless it has been started before; what it is given is the swap of that id,
        or `given`. Raises StorageFailed."""
        from botocore.exceptions import BotoCoreError, ClientError

        client = self._client()
        try:
            client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(given or {"swap": name}))
        except client.exceptions.ExecutionAlreadyExists:
            return
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed("Step Functions did not start the work. Try again.") from error


def describe_job(record: SwapRecord, memory_mb: int = 0) -> Job:
    """The state of a recorded swap or listing; `memory_mb`: what the steps of a moving meme have."""
    moving = record.moving
    cost = reckon_cost(moving, memory_mb) if moving else None
    match record.status:
        case "succeeded":
            return Job(record.id, "succeeded", result=dict(record.result or {}), cost=cost)
        case "failed":
            kind = family().get(record.error or "", InternalError)
            place = "faces" if record.kind == "faces" else "swap"
            document = problem(kind(record.cause), instance=f"/{place}/{record.id}")
            return Job(record.id, "failed", problem=document, cost=cost)
        case status if moving:
            return Job(record.id, status, stage=moving.stage, progress=measure_progress(moving), cost=cost)
        case status:
            return Job(record.id, status)
