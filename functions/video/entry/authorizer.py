"""The API's authoriser where AuthMode is key: a request needs a key that the state table knows.

It runs before every request, so it imports next to nothing. API Gateway does not cache its answers (template.yaml, TTL
0), and the table is read consistently: a revoked key is refused at once. Where the table does not answer it raises,
which API Gateway turns into status 500: nobody gets in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from layers.core.api_keys import KEY_PATTERN, digest, key_id
from layers.core.telemetry import logger

DENIAL = {"isAuthorized": False}


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """The simple response to a request of an HTTP API (authoriser's payload format 2.0).

    A request that gets in carries the key's name as `requestContext.authorizer.lambda.key`. Raises botocore's errors.
    """
    key = read_key(event.get("headers") or {})
    name = find_owner(key) if KEY_PATTERN.fullmatch(key) else None
    if name is None:
        logger().set_correlation_id(event.get("requestContext", {}).get("requestId"))
        logger().info("refused", extra={"reason": "an unknown key" if key else "no key"})
        return DENIAL
    return {"isAuthorized": True, "context": {"key": name}}


def read_key(headers: Mapping[str, str]) -> str:
    """The key in a request's headers: its `x-api-key`, else its Bearer token (RFC 6750), else "".

    Older clients of Replicate call the scheme Token.
    """
    values = {name.lower(): value.strip() for name, value in headers.items()}
    if key := values.get("x-api-key", ""):
        return key
    scheme, _, token = values.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() in ("bearer", "token") else ""


def find_owner(key: str) -> str | None:
    """The name that this key was made for; None where there is no such key (any more). Raises botocore's errors."""
    response = dynamodb().get_item(
        TableName=os.environ["STATE_TABLE"], Key={"id": {"S": key_id(digest(key))}}, ConsistentRead=True
    )
    item = response.get("Item")
    return str(item["name"]["S"]) if item else None


@cache
def dynamodb() -> Any:
    """botocore's client, a fifth faster than boto3's; its two attempts fit into the function's time-out."""
    from botocore.config import Config
    from botocore.session import get_session

    config = Config(connect_timeout=1, read_timeout=1, retries={"mode": "standard", "total_max_attempts": 2})
    return get_session().create_client("dynamodb", config=config)


if "AWS_LAMBDA_INITIALIZATION_TYPE" in os.environ:
    # Created while Lambda initialises, with a whole processor whatever MemorySize gives later.
    dynamodb()
