"""Swaps that callers of the HTTP API submit: done at once, or queued for a workflow and done later."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from functions.swap import cost, inputs, results
from functions.swap.data_uri import decode_data_uri, is_data_uri
from functions.swap.moving_submission import hand_over
from functions.swap.services import Services
from functions.swap.values import PersonPictures, SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import MovingMeme, NotFound, StorageFailed
from layers.core.ids import new_id
from layers.core.telemetry import logger

UPLOAD_SECONDS = 300  # a form accepts as many files as arrive in that time, and the operator pays for each


def swap_at_once(
    services: Services, request: SwapRequest, caller: str, deadline: Deadline
) -> tuple[str, dict[str, Any]]:
    """Do a swap and record it as the caller's; its id and its result, without the link.

    Raises the errors of the pipeline, AtCapacity or StorageFailed.
    """
    inputs.check(request, services.settings)  # a request that could never be fetched is not charged
    name = new_id()
    outcome = services.swap(request, key=f"swaps/{name}", add_extension=True, deadline=deadline)
    result = results.strip_link(asdict(outcome.result))
    try:
        services.records.add(
            name, caller, results.list_uploads(request, services.settings), result, outcome.latent_keys
        )
    except StorageFailed:
        results.delete_picture(name, services.storage, services.settings)  # it would belong to nobody
        raise
    return name, result


def queue_swap(services: Services, request: SwapRequest, caller: str) -> str:
    """Record a swap, store the pictures inside the request as uploads, and start the workflow; the swap's id.

    Raises InvalidRequest where the stack has no state machine, RefusedUrl, BudgetSpent, PictureTooLarge or
    StorageFailed.
    """
    services.jobs.require()
    name = new_id()
    inputs.check(request, services.settings)
    cost.charge_upfront(services.budget, caller)
    request = store_pictures(services, request, caller, name)
    document = {field: value for field, value in asdict(request).items() if field not in ("caller", "queued")}
    services.records.queue(name, caller, document, results.list_uploads(request, services.settings))
    try:
        services.jobs.start(name)
    except StorageFailed:
        services.records.remove(name)
        raise
    return name


def swap_queued(services: Services, name: str, deadline: Deadline) -> None:
    """Do the queued swap with that id, unless it is done. Raises NotFound if it was deleted, before or meanwhile."""
    record = services.records.begin(name)
    if record is not None and record.status == "succeeded":
        return
    if record is None or record.request is None:
        # An earlier attempt may have been killed after it wrote the picture.
        results.delete_picture(name, services.storage, services.settings)
        raise NotFound("There is no such swap, or it was deleted.")
    request = SwapRequest(**{**record.request, "caller": record.caller or None, "queued": name})
    try:
        outcome = services.swap(request, key=f"swaps/{name}", add_extension=True, deadline=deadline)
    except MovingMeme as meme:
        hand_over(services, record, request, meme)
        return
    if not services.records.finish(name, results.strip_link(asdict(outcome.result)), outcome.latent_keys):
        results.delete_picture(name, services.storage, services.settings)
        raise NotFound("This swap was deleted while it was in progress.")


def store_upload(services: Services, caller: str, data: bytes, content_type: str) -> tuple[str, str]:
    """Store a picture as the caller's upload; its id, and the URI that names it in a request.

    Raises BudgetSpent or StorageFailed.
    """
    cost.charge_upfront(services.budget, caller)
    name, bucket = new_id(), services.settings.uploads_bucket
    key = _name_upload(caller, name)
    services.storage.write(bucket, key, data, content_type)
    logger().info("upload", extra={"upload": name})
    return name, f"s3://{bucket}/{key}"


def open_upload(services: Services, caller: str, batch: str | None = None) -> dict[str, Any]:
    """A form to upload a picture or a moving meme of one URI, which names it in a request; of a batch, if one is named.

    Raises BudgetSpent or StorageFailed.
    """
    cost.charge_upfront(services.budget, caller)
    name = new_id()
    settings = services.settings
    key = f"{results.batch_prefix(caller, batch)}{name}" if batch else _name_upload(caller, name)
    form = services.storage.presign_post(settings.uploads_bucket, key, settings.max_moving_bytes, UPLOAD_SECONDS)
    logger().info("upload form", extra={"upload": name})
    return {"uri": f"s3://{settings.uploads_bucket}/{key}", "url": form["url"], "fields": form["fields"]}


def _name_upload(caller: str, name: str) -> str:
    return f"{results.upload_prefix(caller)}{name}/upload"


def store_pictures(services: Services, request: SwapRequest, caller: str, name: str) -> SwapRequest:
    """The request with its data: URIs, which an execution must not be given, replaced by URIs of uploads."""
    uploads: dict[str, str] = {}  # by the data: URI

    def store_picture(uri: str, file_name: str) -> str:
        if not is_data_uri(uri):
            return uri
        if uri not in uploads:
            picture, content_type = decode_data_uri(uri, services.settings.max_picture_bytes)
            key = f"{results.upload_prefix(caller)}{name}/{file_name}"
            services.storage.write(services.settings.uploads_bucket, key, picture, content_type)
            uploads[uri] = f"s3://{services.settings.uploads_bucket}/{key}"
        return uploads[uri]

    def store(pictures: PersonPictures, file_name: str) -> PersonPictures:
        if isinstance(pictures, str):
            return store_picture(pictures, file_name)
        return [store_picture(uri, f"{file_name}_{number}") for number, uri in enumerate(pictures)]

    meme, face = store_picture(request.meme, "meme"), store(request.face, "face") if request.face else None
    faces = request.faces
    if not isinstance(faces, str):
        faces = [
            each if isinstance(each, int) else {**each, "face": store(each["face"], f"face-{each['index']}")}
            for each in faces
        ]
    return replace(request, meme=meme, face=face, faces=faces)
