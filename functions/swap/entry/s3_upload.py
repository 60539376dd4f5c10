"""The upload entry: a picture under `memes/` is swapped into `swapped/`, or its error is written to `failed/`.

An event says only that something was uploaded under a name: by the time it is handled there may be a newer object, and
the events of both may come in any order, side by side, twice, or again after days from the dead-letter queue. So the
object that lies there now is swapped, by one invocation at a time (`functions/swap/upload_claims.py`), which looks
again once it is done.
"""

from __future__ import annotations

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from functions.swap.entry.swap_answer import arrange_result
from functions.swap.moving_state import UploadedObject
from functions.swap.moving_submission import queue_upload
from functions.swap.results import UPLOADS_PREFIX, describe_object, strip_link
from functions.swap.services import Services, deadline
from functions.swap.upload_claims import UploadClaim, UploadEvent
from functions.swap.upload_outcomes import MAX_TRIES, UploadOutcomes
from functions.swap.values import SwapRequest
from layers.core.errors import (
    ColdswapError,
    InputNotFound,
    InternalError,
    InvalidRequest,
    LabelFailed,
    ModelsCorrupt,
    ModelsMissing,
    MovingMeme,
    SafeguardFailed,
    StillRunning,
)
from layers.core.storage import decode_metadata
from layers.core.telemetry import count_fault, logger

if TYPE_CHECKING:
    from layers.core.storage import Head

# Errors that the operator must fix. Nothing is wrong with the upload itself, so it becomes a dead letter.
OPERATOR_ERRORS = (ModelsMissing, ModelsCorrupt, SafeguardFailed, LabelFailed)
MAX_NAME_BYTES = 1024 - len("swapped/.json")  # of UTF-8; an S3 key has at most 1024
MAX_ROUNDS = 5  # of one event, for an object that is replaced while it is being swapped
CLAIM_MARGIN_SECONDS = 1.0  # clocks differ a little


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
    """The key of the result or of the problem of the object that lies there in the end."""
    event = _parse_event(record)
    if len(event.key.removeprefix(UPLOADS_PREFIX).encode()) > MAX_NAME_BYTES:
        raise InvalidRequest(
            f"The name of an upload under {UPLOADS_PREFIX} must not be longer than {MAX_NAME_BYTES} bytes."
        )
    outcome: str | None = None
    for _ in range(MAX_ROUNDS):
        try:
            claim = services.claims.take(event, _seconds_left(context))
        except StillRunning:
            if outcome is not None:
                return outcome  # a newer event goes on from here
            if services.claims.count_try(event) >= MAX_TRIES:
                services.claims.forget_tries(event)
            raise
        try:
            outcome, state = _work(event, claim, outcome is None, context, services)
        except BaseException:
            # Whatever raised the error is more interesting than that the claim has to lapse by itself.
            with contextlib.suppress(ColdswapError):
                services.claims.release(claim)
            raise
        services.claims.settle(claim, event, state, outcome)
        # Only now: an event that came until then was turned away, and one that comes later gets the claim.
        head = services.storage.head(event.bucket, event.key)
        if head is None or describe_object(head) == state:
            return outcome
    raise StillRunning("The upload was replaced again and again while it was being swapped.")


def _parse_event(record: dict[str, Any]) -> UploadEvent:
    s3_object = record["s3"]["object"]
    return UploadEvent(
        record["s3"]["bucket"]["name"],
        unquote_plus(s3_object["key"]),
        *(str(s3_object.get(part, "")) for part in ("sequencer", "eTag", "versionId")),
    )


def _seconds_left(context: Any) -> float:
    return float(context.get_remaining_time_in_millis()) / 1000 + CLAIM_MARGIN_SECONDS


def _work(
    event: UploadEvent, claim: UploadClaim, is_first_round: bool, context: Any, services: Services
) -> tuple[str, str]:
    """Swap the object that lies there now, unless that has been done; the outcome's key, and the object's state.

    Raises the errors that a retry or the operator can cure.
    """
    if is_first_round and claim.covers(event):
        return claim.outcome, claim.state
    head: Head | None = None
    try:
        head = services.storage.head(event.bucket, event.key)
        if claim.state == describe_object(head):
            return claim.outcome, claim.state
        if is_first_round and claim.follows_kill:
            killed = InternalError("A try was cut off: it ran out of memory or of time.")
            _report(event, head, killed, services.claims.count_try(event), context, services)
        return _swap(event, head, context, services), describe_object(head)
    except ColdswapError as error:
        if not error.retryable:
            count_fault(error)
            logger().warning("upload failed", extra={"code": error.code, "detail": error.detail})
        if error.retryable or isinstance(error, OPERATOR_ERRORS):
            _report_retry(event, head, error, context, services)
            raise
        return _report(event, head, error, MAX_TRIES, context, services), describe_object(head)
    except Exception as error:
        failure = InternalError(f"The swap failed with {type(error).__name__}. The log has details.")
        _report_retry(event, head, failure, context, services)
        raise


def _swap(event: UploadEvent, head: Head | None, context: Any, services: Services) -> str:
    """Swap the object, and write the result; its key."""
    if head is None:
        raise InputNotFound(f"{event.key} no longer exists.")
    name = event.key.removeprefix(UPLOADS_PREFIX)
    face = decode_metadata(head.metadata.get("face", "")) or None
    request = SwapRequest(meme=f"s3://{event.bucket}/{event.key}", face=face)
    try:
        result = asdict(services.swap(request, key=f"swapped/{name}", deadline=deadline(context)).result)
    except MovingMeme:
        # Its workflow writes the outcome; a later event of the same object starts nothing.
        return queue_upload(services, request, UploadedObject(name, describe_object(head), _name_object(head)))
    arranged = arrange_result(strip_link(result))
    return _outcomes(services).add_result(name, {**arranged, **_name_object(head)})


def _report_retry(
    event: UploadEvent, head: Head | None, error: ColdswapError, context: Any, services: Services
) -> None:
    """Tell the uploader of a failure that Lambda tries again, so that nobody waits in the dark; if that fails too, the
    first error is the one to raise."""
    with contextlib.suppress(ColdswapError):
        _report(event, head, error, services.claims.count_try(event), context, services)


def _report(
    event: UploadEvent, head: Head | None, error: ColdswapError, tries: int, context: Any, services: Services
) -> str:
    """Write the problem; its key. After the last try, tries are counted anew: a redrive has as many."""
    instance = f"urn:coldswap:request:{context.aws_request_id}"  # the id is in the log
    name = event.key.removeprefix(UPLOADS_PREFIX)
    key = _outcomes(services).add_problem(name, error, _name_object(head), instance=instance, tries=tries)
    if tries >= MAX_TRIES:
        services.claims.forget_tries(event)
    return key


def _outcomes(services: Services) -> UploadOutcomes:
    return UploadOutcomes(services.storage, services.settings.outputs_bucket)


def _name_object(head: Head | None) -> dict[str, str]:
    """Which object an outcome is of, as S3 told the uploader."""
    if head is None:
        return {}
    return {"upload_etag": head.etag.strip('"'), **({"upload_version": head.version} if head.version else {})}
