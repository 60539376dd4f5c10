"""CodeDeploy's hook before traffic: a release's versions test themselves, and get requests only if they pass."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from layers.core.errors import InternalError
from layers.core.telemetry import logger
from layers.core.warm_up import PAYLOAD

WARM_UP_SECONDS = 290  # at most: an image's first start, read from a cold cache


def handler(event: dict[str, Any], context: Any) -> None:
    """Give CodeDeploy the verdict that its event asks for. VERSIONS holds the versions' ARNs, separated by commas.

    Raises botocore's errors where CodeDeploy does not accept the verdict; it waits an hour for one, then rolls back.
    """
    import boto3

    status = "Failed"
    try:
        answers = warm_up(lambda_client(), os.environ["VERSIONS"].split(","))
        status = "Succeeded"
        logger().info("warm", extra={"answers": answers})
    except Exception:  # whatever it is, the release gets no traffic
        logger().exception("a version failed its warm-up")
    boto3.client("codedeploy").put_lifecycle_event_hook_execution_status(
        deploymentId=event["DeploymentId"],
        lifecycleEventHookExecutionId=event["LifecycleEventHookExecutionId"],
        status=status,
    )


def lambda_client() -> Any:
    """boto3's client for `warm_up`, which waits for the response and does not retry."""
    import boto3
    from botocore.config import Config

    return boto3.client("lambda", config=Config(read_timeout=WARM_UP_SECONDS, retries={"total_max_attempts": 1}))


def warm_up(functions: Any, names: Iterable[str]) -> dict[str, Any]:
    """Each function's answer to a warm-up, by its name or ARN; `functions` is boto3's client of Lambda.

    Raises InternalError for the first that fails, and botocore's errors.
    """
    answers: dict[str, Any] = {}
    for name in names:
        response = functions.invoke(FunctionName=name, Payload=json.dumps(PAYLOAD).encode())
        answers[name] = json.loads(response["Payload"].read() or b"null")
        if response.get("FunctionError"):
            raise InternalError(f"{name} failed its warm-up: {json.dumps(answers[name]):.500}")
    return answers
