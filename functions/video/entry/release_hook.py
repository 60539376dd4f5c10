"""CodeDeploy's hook before traffic: a release's versions test themselves, and take requests only if they pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from layers.core.errors import InternalError
from layers.core.telemetry import logger
from layers.core.warm_up import PAYLOAD

SECONDS = 290  # that a warm-up may take: an image's first start, read from a cold cache


def handler(event: dict[str, Any], context: Any) -> None:
    """CodeDeploy's event in; the verdict goes to CodeDeploy. VERSIONS names the versions by ARN, with commas between.

    Raises botocore's errors where CodeDeploy does not take the verdict; it waits an hour for one, then rolls back.
    """
    import boto3

    status = "Failed"
    try:
        answers = warm_up(lambda_client(), os.environ["VERSIONS"].split(","))
        status = "Succeeded"
        logger().info("warm", extra={"answers": answers})
    except Exception:  # whatever it is, the release does not get the traffic
        logger().exception("a version is not fit")
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )


def lambda_client() -> Any:
    """boto3's, for `warm_up`: it waits for the answer, and asks once."""
    import boto3
    from botocore.config import Config

    return boto3.client("lambda", config=Config(read_timeout=SECONDS, retries={"total_max_attempts": 1}))


def warm_up(functions: Any, names: Iterable[str]) -> dict[str, Any]:
    """What each function answers, by its name or ARN; `functions` is boto3's client of Lambda.

    Raises InternalError for the first that fails, and botocore's errors.
    """
    answers: dict[str, Any] = {}
    for name in names:
        reply = functions.invoke(FunctionName=name, Payload=json.dumps(PAYLOAD).encode())
        answers[name] = json.loads(reply["Payload"].read() or b"null")
        if reply.get("FunctionError"):
            raise InternalError(f"{name} failed its warm-up: {json.dumps(answers[name]):.500}")
    return answers
