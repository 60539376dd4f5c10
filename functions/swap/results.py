"""A swap that a caller asked for: what may be read for it, how it is kept, and how all of it is removed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecord, SwapRecords
from functions.swap.values import SwapRequest
from layers.core.errors import InputNotFound, NotFound, RefusedUrl

if TYPE_CHECKING:
    from layers.core.storage import Storage

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_SWAP = re.compile(rf"swaps/([0-9a-f-]{{36}})\.(?:{'|'.join(EXTENSIONS.values())})")
_VIDEO = re.compile(r"videos/([0-9a-f-]{36})/[\w.-]+")


def upload_prefix(caller: str) -> str:
    """Of the keys in the uploads bucket under which one caller's pictures lie."""
    return f"requests/{caller}/"


def check_place(bucket: str, key: str, caller: str | None, settings: Settings) -> None:
    """Raises RefusedUrl for an object that this caller can never own; the stack's own principals have no caller."""
    if bucket not in (settings.uploads_bucket, settings.outputs_bucket, settings.models_bucket):
        raise RefusedUrl("Only pictures in this stack's own buckets can be used. Upload yours first: POST /uploads.")
    if f"s3://{bucket}/{key}" == settings.default_face:
        return
    if bucket == settings.models_bucket:
        # What else lies beside the models is nobody's to ask after: whether a latent is there tells who was swapped.
        if caller is not None or not key.startswith("faces/"):
            raise RefusedUrl("In the models bucket only the stack's default face may be named.")
    elif caller is None:
        return
    elif bucket == settings.uploads_bucket:
        if not key.startswith(upload_prefix(caller)):
            raise RefusedUrl("In the uploads bucket you may name only your own uploads, by POST /uploads' uri.")
    elif not (_SWAP.fullmatch(key) or _VIDEO.fullmatch(key)):
        raise RefusedUrl("In the outputs bucket you may name only your own results.")


def check_owner(bucket: str, key: str, caller: str | None, settings: Settings, ledger: SwapRecords) -> None:
    """Raises InputNotFound for another caller's result, exactly as for one that is not there; and StorageFailed."""
    if caller is None or bucket != settings.outputs_bucket or f"s3://{bucket}/{key}" == settings.default_face:
        return
    for kind, pattern in (("swap", _SWAP), ("video", _VIDEO)):
        match = pattern.fullmatch(key)
        if match and ledger.owner(kind, match[1]) == caller:
            return
    # Without the address: a workflow's history keeps the sentence.
    raise InputNotFound("There is nothing of yours at the S3 URI that was given.")


def inputs_of(request: SwapRequest, settings: Settings) -> frozenset[str]:
    """Keys of the pictures in the uploads bucket that the request names."""
    start = f"s3://{settings.uploads_bucket}/"
    return frozenset(uri.removeprefix(start) for uri in (request.meme, request.face or "") if uri.startswith(start))


def own(name: str, caller: str, ledger: SwapRecords) -> SwapRecord:
    """The caller's swap of that id. Raises NotFound; another's looks as if it were not there."""
    entry = ledger.find(name)
    if entry is None or entry.caller != caller:
        raise NotFound(f"There is no swap {name!r:.60}, or it is deleted.")
    return entry


def remove(entry: SwapRecord, storage: Storage, ledger: SwapRecords, settings: Settings) -> None:
    """Delete the result, the uploads that it was made of, the latent kept of its face, and what is known of it.

    The entry goes last, so that what breaks off can be asked for again. Raises StorageFailed.
    """
    remove_picture(entry.id, storage, settings)
    if entry.latent:
        storage.delete(settings.models_bucket, entry.latent)
    for key in sorted(entry.inputs):
        storage.delete(settings.uploads_bucket, key)
    ledger.remove(entry.id)


def remove_picture(name: str, storage: Storage, settings: Settings) -> None:
    """Delete a swap's result wherever it may be: what broke off after it was written has told of none.

    Raises StorageFailed.
    """
    for extension in EXTENSIONS.values():
        storage.delete(settings.outputs_bucket, f"swaps/{name}.{extension}")


def kept(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as the ledger keeps it: without the link, which would be stale before anyone reads it."""
    return {name: value for name, value in result.items() if name != "url"}
