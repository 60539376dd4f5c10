"""Moving memes that a state machine swaps: how each caller's are queued, handed over, and given up."""

from __future__ import annotations

import uuid
from dataclasses import asdict, replace
from typing import Any

from functions.swap import results
from functions.swap.inputs import MEDIA_TYPE, is_url
from functions.swap.moving_records import MovingKind
from functions.swap.moving_state import UploadedObject
from functions.swap.services import Services
from functions.swap.swap_records import SwapRecord
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import MovingMeme, NotFound, StorageFailed
from layers.core.ids import new_id

NOT_STORED = ("caller", "queued")  # fields of a request that its record has, or is


def queue_moving(
    services: Services,
    request: SwapRequest,
    caller: str,
    meme: MovingMeme,
    kind: MovingKind = "moving",
) -> str:
    """Store a caller's meme unless it is an upload, record the work and start the workflow; its id.

    The first unit has been charged: whoever found that the meme moves had to fetch it. Raises InvalidRequest where the
    stack has no state machine, PictureTooLarge or StorageFailed.
    """
    from functions.swap.submission import store_pictures

    services.moving_jobs.require()
    name = new_id()
    request = replace(request, meme=_store_meme(services, request.meme, caller, name, meme))
    request = store_pictures(services, request, caller, name)
    uploads = results.list_uploads(request, services.settings)
    services.records.queue_moving(name, caller, describe_request(request), uploads, kind=kind)
    _start(services, name)
    return name


def hand_over(services: Services, record: SwapRecord, request: SwapRequest, meme: MovingMeme) -> None:
    """Have a queued swap done by the workflow for moving memes.

    Raises what `queue_moving` raises, or NotFound if the swap was deleted.
    """
    services.moving_jobs.require()
    uri = _store_meme(services, request.meme, record.caller, record.id, meme)
    request = replace(request, meme=uri)
    uploads = record.inputs | results.list_uploads(request, services.settings)
    if services.records.hand_over(record.id, describe_request(request), uploads) is None:
        for key in sorted(uploads - record.inputs):
            services.storage.delete(services.settings.uploads_bucket, key)
        raise NotFound("There is no such swap, or it was deleted.")
    services.moving_jobs.start(record.id)


def queue_upload(services: Services, request: SwapRequest, upload: UploadedObject) -> str:
    """Queue the swap of an upload; the key of its result.

    However often this object is told of, it is one swap. Raises InvalidRequest or StorageFailed.
    """
    services.moving_jobs.require()
    key, name = f"swapped/{upload.name}", name_work(upload.name, upload.state)
    services.records.queue_moving(name, None, describe_request(request), frozenset(), key=key, upload=upload)
    services.moving_jobs.start(name)
    return key


def queue_task(services: Services, request: SwapRequest, key: str | None, execution: str) -> str:
    """Record the request with which somebody started the workflow; its id, the same for the same execution."""
    name = name_work(execution)
    services.records.queue_moving(name, None, describe_request(request), frozenset(), key=key or "")
    return name


def delete(services: Services, record: SwapRecord, deadline: Deadline) -> None:
    """Delete a result, a listing, or work that is under way, which is cancelled; and all that was stored for it.

    A step that is running looks whether the work is still wanted, and clears away what it has written. Raises
    StorageFailed.
    """
    if record.moving:
        from functions.swap.moving import steps

        if record.status in ("queued", "running"):
            services.moving_jobs.stop(record.id)
        steps.discard(record.id, services.context(deadline))
    results.delete(record, services.storage, services.records, services.settings)


def name_work(*parts: str) -> str:
    """The id of work that may be asked for more than once."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(parts)))


def describe_request(request: SwapRequest) -> dict[str, Any]:
    """A request as it is recorded."""
    return {field: value for field, value in asdict(request).items() if field not in NOT_STORED}


def _start(services: Services, name: str) -> None:
    try:
        services.moving_jobs.start(name)
    except StorageFailed:
        services.records.remove(name)
        raise


def _store_meme(services: Services, uri: str, caller: str, name: str, meme: MovingMeme) -> str:
    """The URI of the meme in the stack's buckets, where each step may read it without fetching it again."""
    if meme.uri is not None:
        return meme.uri
    if meme.content is None or not is_url(uri):
        return uri
    bucket, key = services.settings.uploads_bucket, f"{results.upload_prefix(caller)}{name}/meme"
    services.storage.write(bucket, key, meme.content, MEDIA_TYPE)
    return f"s3://{bucket}/{key}"
