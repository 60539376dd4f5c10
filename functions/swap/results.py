"""The results of callers: what each caller may read, how a result is kept, and how all of it is deleted."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from functions.swap.moving_state import UploadedObject
from functions.swap.settings import Settings
from functions.swap.swap_records import Kind, SwapRecord, SwapRecords
from functions.swap.values import SwapRequest
from layers.core.errors import Deleted, InputNotFound, NotFound, RefusedUrl
from layers.media.formats import EXTENSIONS

if TYPE_CHECKING:
    from layers.core.storage import Head, Storage

UPLOADS_PREFIX = "memes/"
REQUESTS_PREFIX = "requests/"  # of what callers upload
SWAP_KINDS: tuple[Kind, ...] = ("swap", "moving")
ALL_KINDS: tuple[Kind, ...] = (*SWAP_KINDS, "faces")
RESULT_EXTENSIONS = (*EXTENSIONS.values(), "gif", "mp4")  # the last two of moving memes
_SWAP_KEY = re.compile(rf"swaps/([0-9a-f-]{{36}})\.(?:{'|'.join(RESULT_EXTENSIONS)})")
_VIDEO_KEY = re.compile(r"videos/([0-9a-f-]{36})/[\w.-]+")


def upload_prefix(caller: str) -> str:
    """Where one caller's pictures are in the uploads bucket."""
    return f"{REQUESTS_PREFIX}{caller}/"


def batch_prefix(caller: str, name: str) -> str:
    """Where the uploads of one caller's batch of that name are."""
    return f"{upload_prefix(caller)}batches/{name}/"


def check_location(bucket: str, key: str, caller: str | None, settings: Settings) -> None:
    """Raises RefusedUrl for an object that this caller can never own; the stack's own principals have no caller."""
    if bucket not in (settings.uploads_bucket, settings.outputs_bucket, settings.models_bucket):
        raise RefusedUrl("Only pictures in this stack's own buckets can be used. Upload yours first: POST /uploads.")
    if f"s3://{bucket}/{key}" == settings.default_face:
        return
    if bucket == settings.models_bucket:
        # Nobody may probe the rest of the bucket: that a latent exists would reveal whose face was swapped.
        if caller is not None or not key.startswith("faces/"):
            raise RefusedUrl("In the models bucket you may name only the stack's default face.")
    elif caller is None:
        return
    elif bucket == settings.uploads_bucket:
        if not key.startswith(upload_prefix(caller)):
            raise RefusedUrl("In the uploads bucket you may name only your own uploads, by the uri from POST /uploads.")
    elif not (_SWAP_KEY.fullmatch(key) or _VIDEO_KEY.fullmatch(key)):
        raise RefusedUrl("In the outputs bucket you may name only your own results.")


def check_owner(bucket: str, key: str, caller: str | None, settings: Settings, records: SwapRecords) -> None:
    """Raises InputNotFound for another caller's result, exactly as for a missing one; or StorageFailed."""
    if caller is None or bucket != settings.outputs_bucket or f"s3://{bucket}/{key}" == settings.default_face:
        return
    for kind, pattern in (("swap", _SWAP_KEY), ("video", _VIDEO_KEY)):
        match = pattern.fullmatch(key)
        if match and records.owner(kind, match[1]) == caller:
            return
    # Without the address: a workflow's history keeps the message.
    raise InputNotFound("You have no result at the given S3 URI.")


def list_uploads(request: SwapRequest, settings: Settings) -> frozenset[str]:
    """The keys of the pictures in the uploads bucket that the request names."""
    prefix = f"s3://{settings.uploads_bucket}/"
    return frozenset(uri.removeprefix(prefix) for uri in request.pictures if uri.startswith(prefix))


def describe_object(head: Head | None) -> str:
    """A digest that changes whenever an upload is replaced, also by the same bytes with another face."""
    facts = [head.etag, head.version, head.last_modified, sorted(head.metadata.items())] if head else None
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def is_current(upload: UploadedObject, storage: Storage, settings: Settings) -> bool:
    """Whether the object that a swap is of still lies there. Raises StorageFailed."""
    return describe_object(storage.head(settings.uploads_bucket, f"{UPLOADS_PREFIX}{upload.name}")) == upload.state


def find_own(name: str, caller: str, records: SwapRecords, kinds: Container[Kind] = ALL_KINDS) -> SwapRecord:
    """The caller's swap, or whatever of these kinds, with that id.

    Raises Deleted if the caller deleted it, and NotFound for another caller's swap just as for a missing one.
    """
    record = records.find(name)
    if record is not None and record.caller == caller and record.kind in kinds:
        return record
    if record is None and records.was_deleted(name, caller):
        raise Deleted("This swap was deleted.")
    raise NotFound(f"There is no swap {name!r:.60}, or it has expired.")


def delete(record: SwapRecord, storage: Storage, records: SwapRecords, settings: Settings) -> None:
    """Delete the result, the uploads it was made from, the latents stored for its faces, and the record.

    The record goes last, so that a deletion that fails half-way can be repeated. Raises StorageFailed.
    """
    delete_picture(record.id, storage, settings)
    for key in sorted(record.latent_keys):
        storage.delete(settings.models_bucket, key)
    for key in sorted(record.inputs):
        storage.delete(settings.uploads_bucket, key)
    records.delete(record.id, record.caller)


def delete_picture(name: str, storage: Storage, settings: Settings) -> None:
    """Delete a swap's picture under every key that it may have: a swap that was killed recorded none.

    Raises StorageFailed.
    """
    for extension in RESULT_EXTENSIONS:
        storage.delete(settings.outputs_bucket, f"swaps/{name}.{extension}")


def strip_link(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as it is stored: without the link, which would have expired before anyone reads it."""
    return {name: value for name, value in result.items() if name != "url"}
