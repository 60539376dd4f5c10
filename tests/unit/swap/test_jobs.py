"""Executions that are started and stopped by name, as Step Functions answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from functions.swap.jobs import Jobs
from layers.core.errors import InvalidRequest, StorageFailed
from tests.unit.swap.fake_stack import MOVING_ARN

EXECUTION = {"executionArn": f"{MOVING_ARN.replace(':stateMachine:', ':execution:')}:a"}
STOP = {**EXECUTION, "error": "Cancelled", "cause": "It was deleted."}
START = {"stateMachineArn": MOVING_ARN, "name": "a", "input": json.dumps({"swap": "a"})}


@pytest.fixture(scope="module")
def client() -> Any:
    keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    return boto3.client("stepfunctions", region_name="eu-west-1", **keys)


@pytest.fixture
def stub(client: Any) -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def jobs(client: Any) -> Jobs:
    return Jobs(MOVING_ARN, lambda: client)


def test_an_execution_is_started_by_name_and_a_second_time_changes_nothing(stub: Stubber, jobs: Jobs) -> None:
    stub.add_response("start_execution", {**EXECUTION, "startDate": 0}, START)
    jobs.start("a")
    stub.add_client_error("start_execution", "ExecutionAlreadyExists", expected_params=START)
    jobs.start("a")


def test_an_execution_is_stopped_by_name(stub: Stubber, jobs: Jobs) -> None:
    stub.add_response("stop_execution", {"stopDate": 0}, STOP)
    jobs.stop("a")


@pytest.mark.parametrize("code", ["ExecutionDoesNotExist", "ValidationException"])
def test_what_is_not_there_or_is_over_needs_no_stopping(code: str, stub: Stubber, jobs: Jobs) -> None:
    stub.add_client_error("stop_execution", code, expected_params=STOP)
    jobs.stop("a")


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException"])
def test_what_cannot_be_started_or_stopped_is_told(code: str, stub: Stubber, jobs: Jobs) -> None:
    stub.add_client_error("stop_execution", code)
    with pytest.raises(StorageFailed, match="did not stop"):
        jobs.stop("a")
    stub.add_client_error("start_execution", code)
    with pytest.raises(StorageFailed, match="did not start"):
        jobs.start("a")


def test_a_stack_without_a_state_machine_says_so() -> None:
    with pytest.raises(InvalidRequest):
        Jobs("", dict).require()
