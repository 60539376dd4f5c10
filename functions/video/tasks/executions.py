"""Executions of the workflow, which are named for their task."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from layers.core.dynamodb import translate_errors


class Executions:
    """Executions of one state machine. Every method raises StorageFailed when Step Functions does not answer."""

    def __init__(self, state_machine_arn: str, client: Callable[[], Any]) -> None:
        """`client` gives the Step Functions client when first needed."""
        self._arn = state_machine_arn
        self._client = client

    def start(self, name: str, task_id: str) -> None:
        """Start the workflow of a task; the same name again starts nothing."""
        with translate_errors():
            client = self._client()
            try:
                client.start_execution(stateMachineArn=self._arn, name=name, input=json.dumps({"task_id": task_id}))
            except client.exceptions.ExecutionAlreadyExists:
                return

    def stop(self, name: str) -> None:
        """Stop the execution, if it is running. Steps that are running end by themselves."""
        arn = self._arn.replace(":stateMachine:", ":execution:", 1) + ":" + name
        with translate_errors():
            client = self._client()
            try:
                client.stop_execution(executionArn=arn, error="Cancelled", cause="The task was cancelled.")
            except client.exceptions.ExecutionDoesNotExist:
                return
            except client.exceptions.ClientError as error:
                if error.response.get("Error", {}).get("Code") != "ValidationException":  # it is over already
                    raise
