"""The upload entry: a picture under `memes/` is swapped into `swapped/`, or its error is written to `failed/`."""

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
from layers.core.storage import decode_metadata
from layers.core.telemetry import count_fault, logger

PREFIX = "memes/"
JSON = "application/json"
PROBLEM = "application/problem+json"
# Errors that the operator must fix. Nothing is wrong with the upload itself, so it becomes a dead letter.
OPERATOR_ERRORS = (ModelsMissing, ModelsCorrupt, SafeguardFailed, LabelFailed)
MAX_NAME_BYTES = 1024 - len("swapped/.json")  # of UTF-8; an S3 key has at most 1024


def handle(event: dict[str, Any], context: Any, services: Services) -> dict[str, Any]:
    """Handle every record of the event once. Errors that a retry or the operator can cure are raised after the other
    records are done.

    Raises InvalidRequest for a name that is too long for the result's key: the upload becomes a dead letter.
    """
    outcomes: list[str] = []
    to_retry: Exception | None = None
    for record in event["Records"]:
        if record["s3"]["object"]["key"].endswith("/"):
            continue  # the empty object by which the S3 console marks a folder
        try:
            outcomes.append(_handle_record(record, context, services))
        except ColdswapError as error:
            if not (error.retryable or isinstance(error, OPERATOR_ERRORS)):
                raise
            if error.retryable:
                count_fault(error, ended=False)  # an upload that keeps failing becomes a dead letter
            logger().warning("upload will be retried", extra={"code": error.code, "detail": error.detail})
            to_retry = error
    if to_retry:
        raise to_retry
    return {"outcomes": outcomes}


def _handle_record(record: dict[str, Any], context: Any, services: Services) -> str:
    """The key of the result or of the problem. A second delivery of the same object changes nothing."""
    bucket, s3_object = record["s3"]["bucket"]["name"], record["s3"]["object"]
    key = unquote_plus(s3_object["key"])
    if len(key.removeprefix(PREFIX).encode()) > MAX_NAME_BYTES:
        raise InvalidRequest(f"The name of an upload under {PREFIX} must not be longer than {MAX_NAME_BYTES} bytes.")
    version = tuple(str(s3_object.get(part, "")) for part in ("versionId", "sequencer", "eTag"))
    content = json.dumps([bucket, key, *version])
    outcome = services.idempotency.run(
        ("upload", bucket, key, *version), content, lambda: {"key": _swap(bucket, key, context, services)}, context
    )
    return str(outcome["key"])


def _swap(bucket: str, key: str, context: Any, services: Services) -> str:
    outputs, name = services.settings.outputs_bucket, key.removeprefix(PREFIX)
    try:
        head = services.storage.head(bucket, key)
        if head is None:
            raise InputNotFound(f"{key} no longer exists.")
        request = SwapRequest(meme=f"s3://{bucket}/{key}", face=decode_metadata(head.metadata.get("face", "")) or None)
        result = asdict(services.swap(request, key=f"swapped/{name}", deadline=deadline(context)).result)
    except ColdswapError as error:
        if error.retryable:
            raise
        count_fault(error)
        document = problem(error, instance=f"urn:coldswap:request:{context.aws_request_id}")  # the id is in the log
        logger().warning("upload failed", extra={"code": error.code, "detail": error.detail})
        services.storage.write(outputs, f"failed/{name}.json", json.dumps(document).encode(), PROBLEM)
        if isinstance(error, OPERATOR_ERRORS):
            raise
        return f"failed/{name}.json"
    del result["url"]  # it would have expired before anyone reads it
    services.storage.write(outputs, f"swapped/{name}.json", json.dumps(result).encode(), JSON)
    services.storage.delete(outputs, f"failed/{name}.json")  # left by an earlier attempt
    return f"swapped/{name}"
