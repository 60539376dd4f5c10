"""The upload entry: a picture under `memes/` becomes one under `swapped/`, or the reason why not under `failed/`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from urllib.parse import unquote_plus

from functions.swap.services import Services, deadline
from functions.swap.values import SwapRequest
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    InvalidRequest,
    LabelFailed,
    ModelsCorrupt,
    ModelsMissing,
    SafeguardFailed,
    problem,
)
from layers.core.telemetry import count_fault, logger

PREFIX = "memes/"
JSON = "application/json"
PROBLEM = "application/problem+json"
# For the operator to mend. The upload is none the worse for it, so it is not done with: it becomes a dead letter.
OPERATOR_S = (ModelsMissing, ModelsCorrupt, SafeguardFailed, LabelFailed)
MOST_NAME_BYTES = 1024 - len("swapped/.json")  # of UTF-8; S3 has no longer keys


def handle(event: dict[str, Any], context: Any, found: Services) -> dict[str, Any]:
    """Every record of the event, once. Raises what a retry or the operator can cure, after the other records are done.

    Raises InvalidRequest for a name so long that no answer can be written beside its like: it becomes a dead letter.
    """
    outcomes: list[str] = []
    to_retry: Exception | None = None
    for record in event["Records"]:
        if record["s3"]["object"]["key"].endswith("/"):
            continue  # the empty object by which the S3 console marks a folder
        try:
            outcomes.append(_once(record, context, found))
        except ColdswapError as error:
            if not (error.retryable or isinstance(error, OPERATOR_S)):
                raise
            if error.retryable:
                count_fault(error, ended=False)  # an upload that keeps failing becomes a dead letter
            logger().warning("upload to be tried again", extra={"code": error.code, "detail": error.detail})
            to_retry = error
    if to_retry:
        raise to_retry
    return {"outcomes": outcomes}


def _once(record: dict[str, Any], context: Any, found: Services) -> str:
    """The key that now holds the result or the problem. A second delivery of the same object does nothing."""
    bucket, thing = record["s3"]["bucket"]["name"], record["s3"]["object"]
    key = unquote_plus(thing["key"])
    if len(key.removeprefix(PREFIX).encode()) > MOST_NAME_BYTES:
        raise InvalidRequest(f"A name under {PREFIX} may have at most {MOST_NAME_BYTES} bytes.")
    which = tuple(str(thing.get(part, "")) for part in ("versionId", "sequencer", "eTag"))
    content = json.dumps([bucket, key, *which])
    done = found.once.do(
        ("upload", bucket, key, *which), content, lambda: {"key": _swap(bucket, key, context, found)}, context
    )
    return str(done["key"])


def _swap(bucket: str, key: str, context: Any, found: Services) -> str:
    outputs, name = found.settings.outputs_bucket, key.removeprefix(PREFIX)
    try:
        head = found.storage.head(bucket, key)
        if head is None:
            raise InputNotFound(f"{key} is no longer there.")
        request = SwapRequest(meme=f"s3://{bucket}/{key}", face=head.metadata.get("face") or None)
        result = asdict(found.swap(request, key=f"swapped/{name}", deadline=deadline(context)).result)
    except ColdswapError as error:
        if error.retryable:
            raise
        count_fault(error)
        document = problem(error, instance=f"urn:coldswap:request:{context.aws_request_id}")  # as the log has it
        logger().warning("upload failed", extra={"code": error.code, "detail": error.detail})
        found.storage.write(outputs, f"failed/{name}.json", json.dumps(document).encode(), PROBLEM)
        if isinstance(error, OPERATOR_S):
            raise
        return f"failed/{name}.json"
    del result["url"]  # would be stale before anyone reads it
    found.storage.write(outputs, f"swapped/{name}.json", json.dumps(result).encode(), JSON)
    found.storage.delete(outputs, f"failed/{name}.json")  # of an earlier try
    return f"swapped/{name}"
