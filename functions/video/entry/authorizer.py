"""The API's authoriser where AuthMode is key: who sends a key that the state table knows comes in.

It runs before every request, so it imports next to nothing. API Gateway keeps none of its answers (template.yaml, TTL
0), and the table is read consistently: a revoked key ends at once. Where the table does not answer it raises, which
API Gateway answers with 500: nobody comes in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from layers.core.api_keys import KEY_PATTERN, digest, key_id
from layers.core.telemetry import logger

REFUSED = {"isAuthorized": False}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """A request of an HTTP API (authoriser's payload format 2.0) in, a simple response out.

    What it lets in carries the key's name as `requestContext.authorizer.lambda.key`. Raises botocore's errors.
    """
    key = presented(event.get("headers") or {})
    name = owner(key) if KEY_PATTERN.fullmatch(key) else None
    if name is None:
        logger().set_correlation_id(event.get("requestContext", {}).get("requestId"))
        logger().info("refused", extra={"reason": "an unknown key" if key else "no key"})
        return REFUSED
    return {"isAuthorized": True, "context": {"key": name}}


def presented(headers: Mapping[str, str]) -> str:
    """The key that a request shows: its `x-api-key`, else its Bearer token (RFC 6750), else ""."""
    values = {name.lower(): value.strip() for name, value in headers.items()}
    if key := values.get("x-api-key", ""):
        return key
    scheme, _, token = values.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def owner(key: str) -> str | None:
    """The name that this key was made for; None where there is no such key any more. Raises botocore's errors."""
    answer = dynamodb().get_item(
        TableName=os.environ["STATE_TABLE"], Key={"id": {"S": key_id(digest(key))}}, ConsistentRead=True
    )
    item = answer.get("Item")
    return str(item["name"]["S"]) if item else None


@cache
def dynamodb() -> Any:
    """botocore's client, which takes a fifth less time than boto3's; its two tries fit into the function's time-out."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    return get_session().create_client("dynamodb", config=config)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # Made while Lambda initialises, with a whole processor whatever MemorySize gives later.
    dynamodb()
