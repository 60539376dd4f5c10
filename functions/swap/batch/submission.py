"""Batches that callers and operators ask for: how they are recorded, started, restarted and given up."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from functions.swap import cost, inputs, results
from functions.swap.batch.values import MAX_MEMES, Batch, name_batch
from functions.swap.data_uri import is_data_uri
from functions.swap.moving_submission import describe_request
from functions.swap.services import Services
from functions.swap.submission import store_pictures
from functions.swap.swap_records import OPERATOR
from functions.swap.values import SwapRequest
from layers.core.errors import Deleted, InputNotFound, InvalidRequest, NotFound, RefusedUrl
from layers.core.ids import new_id

_ANY_MEME = "meme"  # stands for the memes while the rest of the request is checked


def submit(services: Services, request: SwapRequest, name: str, caller: str) -> Batch:
    """Start the batch of the caller's uploads of that name, or start it again if it is over; one that runs runs on.

    Raises InvalidRequest, RefusedUrl, InputNotFound, BudgetSpent, PictureTooLarge or StorageFailed.
    """
    services.batch_jobs.require()
    prefix = results.batch_prefix(caller, name)
    check_request(services, request, f"s3://{services.settings.uploads_bucket}/{prefix}{_ANY_MEME}")
    batch = _open(services, request, caller, prefix)
    if batch.status == "queued":  # also where an earlier try could not start it
        services.batch_jobs.start(batch.execution, {"batch": batch.id})
    return batch


def submit_prefix(services: Services, request: SwapRequest, prefix: str) -> Batch:
    """Record the batch with which an operator started the workflow; its uploads are no caller's.

    Raises InvalidRequest, RefusedUrl, InputNotFound or StorageFailed.
    """
    for own, reason in (
        (results.UPLOADS_PREFIX, "each upload there is swapped already"),
        (results.REQUESTS_PREFIX, "the uploads there belong to callers"),
    ):
        if prefix.startswith(own) or own.startswith(prefix):
            raise RefusedUrl(f"The prefix of a batch must not overlap {own}: {reason}.")
    uris = [uri for source in request.sources("") for uri in source]
    if any(map(is_data_uri, uris)):  # every meme's record would repeat it
        raise InvalidRequest("The input of a batch's workflow must not hold pictures. Upload them first.")
    check_request(services, request, f"s3://{services.settings.uploads_bucket}/{prefix}{_ANY_MEME}")
    return _open(services, request, OPERATOR, prefix)


def name_prefix(request: SwapRequest, prefix: str) -> str:
    """The id of an operator's batch."""
    return name_batch(OPERATOR, prefix, _describe(request))


def check_request(services: Services, request: SwapRequest, meme: str) -> None:
    """Raises InvalidRequest or RefusedUrl for what no meme could be swapped with."""
    inputs.check(replace(request, meme=meme), services.settings)


def _open(services: Services, request: SwapRequest, owner: str, prefix: str) -> Batch:
    """The batch, recorded and with a run that is queued or under way."""
    caller = None if owner == OPERATOR else owner
    name = name_batch(owner, prefix, _describe(request))
    batch = services.batches.find(name)
    if batch and batch.status == "deleting":
        raise Deleted("This batch is being deleted. Upload the memes under another name to make a new one.")
    if batch and batch.is_open:
        return batch
    total = count_memes(services, prefix)
    services.budget.check(caller, cost.PAID_UPFRONT * (1 + total))
    cost.charge_upfront(services.budget, caller)
    if caller is not None:  # for a restart too, under the same keys: uploads do not last as long as the record
        request = store_pictures(services, replace(request, meme=f"s3:{_ANY_MEME}"), caller, name)
    if batch:
        restarted = services.batches.restart(name, batch.run, total)
        return restarted or _find(services, name)
    uploads = results.list_uploads(request, services.settings)
    services.batches.add(Batch(name, owner, prefix, _describe(request), total=total, inputs=uploads))
    return _find(services, name)


def _find(services: Services, name: str) -> Batch:
    batch = services.batches.find(name)
    if batch is None:
        raise NotFound("There is no such batch, or it was deleted.")
    return batch


def _describe(request: SwapRequest) -> dict[str, Any]:
    return {field: value for field, value in describe_request(request).items() if field != "meme"}


def count_memes(services: Services, prefix: str) -> int:
    """How many uploads lie under a prefix.

    Raises InputNotFound for none, InvalidRequest for too many, or StorageFailed.
    """
    count = 0
    for keys in services.storage.list_keys(services.settings.uploads_bucket, prefix):
        count += sum(not key.endswith("/") for key in keys)
        if count > MAX_MEMES:
            raise InvalidRequest(f"A batch may have at most {MAX_MEMES:,} memes. Split this one into several.")
    if not count:
        raise InputNotFound("There are no uploads under this name. Upload the memes first.")
    return count


def find_own(services: Services, name: str, caller: str) -> Batch:
    """The caller's batch. Raises Deleted if the caller deleted it, and NotFound for another caller's just as for a
    missing one."""
    batch = services.batches.find(name)
    if batch is not None and batch.owner == caller:
        return batch
    if batch is None and services.records.was_deleted(name, caller):
        raise Deleted("This batch was deleted.")
    raise NotFound(f"There is no batch {name!r:.60}, or it has expired.")


def delete(services: Services, batch: Batch) -> None:
    """Stop a batch, and have its workflow delete all that it made and was made from. Raises StorageFailed."""
    services.batches.mark_deleting(batch.id)
    services.batch_jobs.stop(batch.execution)
    services.batch_jobs.start(f"{batch.id}-{new_id()}", {"batch": batch.id, "clear": True})
