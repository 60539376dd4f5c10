"""From the URI of a picture to its bytes."""

from __future__ import annotations

import base64
import binascii
import re
import time
from typing import TYPE_CHECKING

from functions.swap.results import check_owner, check_place
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.errors import InputNotFound, InvalidRequest, ObjectNotFound, PictureTooLarge, RefusedUrl, TooLarge
from layers.core.units import MIB

if TYPE_CHECKING:
    from layers.core.storage import Storage

_DATA = re.compile(r"data:(image/[a-z0-9.+-]{1,64});base64,", re.IGNORECASE)


def check(request: SwapRequest, settings: Settings) -> None:
    """Refuse, before anything is loaded, what could never be fetched: RefusedUrl or InvalidRequest."""
    if not (request.face or settings.default_face):
        raise InvalidRequest("The request names no face, and this stack has no default face. Give `face`.")
    for uri in (request.meme, request.face or settings.default_face):
        scheme = uri.partition(":")[0].lower()
        if scheme == "s3":
            _place(uri, request.caller, settings)
        elif scheme == "data":
            if not _DATA.match(uri):
                raise InvalidRequest("A data: URI must start with data:image/…;base64, and hold a picture.")
        elif scheme in ("https", "http"):
            from layers.core.http_fetch import check_url

            check_url(uri, settings.trusted_origins)
        else:
            raise RefusedUrl("Pictures are named by https:, s3: or data: URIs, nothing else.")


def read(
    uri: str, caller: str | None, *, settings: Settings, storage: Storage, ledger: SwapRecords, deadline: Deadline
) -> bytes:
    """The bytes that a URI names, `max_picture_bytes` at most; of the stack's buckets only what this caller owns.

    Raises InvalidRequest, RefusedUrl, InputNotFound, PictureTooLarge, UpstreamFailed, StorageFailed or OutOfTime.
    """
    limit = settings.max_picture_bytes
    if is_data(uri):
        return from_data(uri, limit)[0]
    within = deadline.sooner(settings.fetch_seconds)
    if uri[:5].lower() == "s3://":
        bucket, key = _place(uri, caller, settings)
        check_owner(bucket, key, caller, settings, ledger)
        try:
            stored = storage.read(bucket, key, limit, within)
        except TooLarge:
            raise _too_large(limit) from None
        except ObjectNotFound:
            # Without its name, which has the caller's pseudonym in it: a workflow's history keeps the sentence.
            raise InputNotFound("There is nothing at the S3 URI that was given.") from None
        age = time.time() - stored.written if stored.written is not None else 0.0
        if bucket == settings.uploads_bucket and age > settings.input_seconds:
            raise InputNotFound("The upload is more than a day old and may no longer be used. Upload it again.")
        return stored.data
    from layers.core.http_fetch import fetch

    try:
        return fetch(uri, limit=limit, deadline=within, trusted_origins=settings.trusted_origins).data
    except TooLarge as error:
        raise PictureTooLarge(str(error)) from None


def is_data(uri: str) -> bool:
    """Whether the picture is inside its URI (RFC 2397)."""
    return uri[:5].lower() == "data:"


def from_data(uri: str, limit: int) -> tuple[bytes, str]:
    """The bytes and the media type of a data: URI. Raises InvalidRequest or PictureTooLarge."""
    head = _DATA.match(uri)
    if not head:
        raise InvalidRequest("A data: URI must start with data:image/…;base64, and hold a picture.")
    if (len(uri) - head.end()) // 4 * 3 > limit + 2:
        raise _too_large(limit)
    try:
        return base64.b64decode(uri[head.end() :], validate=True), head[1].lower()
    except (binascii.Error, ValueError):
        raise InvalidRequest("The picture inside a data: URI is not valid base64.") from None


def _too_large(limit: int) -> PictureTooLarge:
    return PictureTooLarge(f"The picture is larger than {limit // MIB} MiB.")


def _place(uri: str, caller: str | None, settings: Settings) -> tuple[str, str]:
    from layers.core.storage import parse_s3_uri

    bucket, key = parse_s3_uri(uri)
    check_place(bucket, key, caller, settings)
    return bucket, key
