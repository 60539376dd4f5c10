"""Swaps that a state machine does while the caller goes on: started here, and looked up by their name."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from layers.core.errors import (
    ColdswapError,
    InternalError,
    InvalidRequest,
    NotFound,
    OutOfTime,
    StorageFailed,
    family,
    problem,
)
from layers.core.ids import made_at

# A started execution is not always found at once ("eventually consistent", API reference of DescribeExecution).
LAG_SECONDS = 60.0

Status = Literal["queued", "running", "succeeded", "failed"]


@dataclass(frozen=True)
class Job:
    """How far a swap is; `result` once it succeeded, `problem` (RFC 9457) once it failed."""

    id: str
    status: Status
    result: dict[str, Any] | None = None
    problem: dict[str, Any] | None = None


class Jobs:
    """Executions of one state machine, named by the swap's id."""

    def __init__(self, state_machine_arn: str, client: Callable[[], Any]) -> None:
        """`client` gives the Step Functions client when first needed; an empty ARN means that there is none."""
        self._arn = state_machine_arn
        self._client = client

    @property
    def available(self) -> bool:
        """Whether the stack has the state machine."""
        return bool(self._arn)

    def start(self, name: str, payload: dict[str, Any]) -> None:
        """Start a task payload's swap. The same name and payload again start nothing new. Raises StorageFailed."""
        from botocore.exceptions import BotoCoreError, ClientError

        if not self._arn:
            raise InvalidRequest("This stack has no state machine, so Prefer: respond-async is not possible.")
        client = self._client()
        try:
            client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps(payload))
        except client.exceptions.ExecutionAlreadyExists:
            return
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed("Step Functions did not start the swap. Try again.") from error

    def look(self, name: str) -> Job:
        """Raises NotFound for a name that no swap has, StorageFailed when Step Functions does not answer."""
        from botocore.exceptions import BotoCoreError, ClientError

        asked_at = made_at(name)
        if not self._arn or asked_at is None:
            raise NotFound(f"There is no swap named {name!r:.60}.")
        client = self._client()
        arn = self._arn.replace(":stateMachine:", ":execution:", 1) + ":" + name
        try:
            found = client.describe_execution(executionArn=arn)
        except client.exceptions.ExecutionDoesNotExist:
            if abs(time.time() - asked_at) < LAG_SECONDS:
                return Job(name, "queued")
            raise NotFound(f"There is no swap named {name}, or it was too long ago.") from None
        except (BotoCoreError, ClientError) as error:
            raise StorageFailed("Step Functions did not answer. Try again.") from error
        match found["status"]:
            case "SUCCEEDED":
                return Job(name, "succeeded", result=json.loads(found["output"]))
            case "RUNNING" | "PENDING_REDRIVE":
                return Job(name, "running")
            case "TIMED_OUT":
                return Job(name, "failed", problem=problem(OutOfTime(), instance=f"/swap/{name}"))
            case _:
                return Job(name, "failed", problem=problem(_error(found), instance=f"/swap/{name}"))


def _error(execution: dict[str, Any]) -> ColdswapError:
    """The error an execution failed with: its name is a class of ours, its cause Lambda's JSON with the message."""
    kind = family().get(str(execution.get("error", "")).rpartition(".")[2], InternalError)
    cause = str(execution.get("cause", ""))
    try:
        said = json.loads(cause)
    except ValueError:
        said = None
    if isinstance(said, dict):
        return kind(str(said.get("errorMessage") or kind.title))
    return kind(cause if kind is not InternalError else None)
