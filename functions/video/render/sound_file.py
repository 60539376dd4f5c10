"""A sound that a request names: music, or a voice-over of the caller's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from layers.core.errors import (
    InputNotFound,
    InvalidRequest,
    MediaTooLarge,
    ObjectNotFound,
    RefusedUrl,
    StorageFailed,
    TooLarge,
)
from layers.core.units import MIB

if TYPE_CHECKING:
    from functions.video.context import StepContext
    from functions.video.services import Services
    from functions.video.settings import VideoSettings

MOST_BYTES = 64 * MIB
MOST_REDIRECTS = 3
FETCH_SECONDS = 60.0
MUSIC = "music/"  # of the operator's, in the models bucket


def check_sound(uri: str, field: str, caller: str, settings: VideoSettings) -> None:
    """Reject a URI that this caller could never have fetched. Raises RefusedUrl or InvalidRequest, naming the field."""
    from layers.core.http_fetch import check_url

    try:
        scheme = urlsplit(uri).scheme.lower()
    except ValueError:
        scheme = ""
    try:
        if scheme == "s3":
            _parse_location(uri, caller, settings)
        elif scheme in ("https", "http"):
            check_url(uri, settings.trusted_origins)
        else:
            raise InvalidRequest(f"{field} must be an https URL, or the uri of an upload.")
    except RefusedUrl as error:
        raise RefusedUrl(f"{field}: {error.detail}") from None


def require_music(uri: str | None, services: Services) -> None:
    """Check, before anything is spent, that the operator's music is there. Raises InvalidRequest or StorageFailed."""
    from layers.core.storage import is_forbidden

    if uri is None or not uri.startswith(MUSIC):
        return
    try:
        head = services.storage.head(services.settings.models_bucket, uri)
    except StorageFailed as error:
        if not is_forbidden(error):
            raise
        head = None  # so S3 answers for what is missing where keys must not be listed
    if head is None:
        raise InvalidRequest(f"This stack has no music {uri.removeprefix(MUSIC)!r}.")


def fetch_sound(uri: str, path: Path, context: StepContext) -> str:
    """Fetch a file of at most MOST_BYTES; its SHA-256.

    Raises RefusedUrl, InputNotFound, MediaTooLarge, UpstreamFailed, StorageFailed, StorageFull or OutOfTime.
    """
    from layers.core.http_fetch import fetch_into
    from layers.core.storage import open_for_writing

    settings, deadline = context.settings, context.deadline.sooner(FETCH_SECONDS)
    try:
        if uri.startswith(("s3:", MUSIC)):
            bucket, key = _parse_location(uri, context.task.caller, settings)
            context.services.storage.download(bucket, key, path, MOST_BYTES, deadline)
        else:
            with open_for_writing(path) as file:
                fetch_into(
                    file,
                    uri,
                    limit=MOST_BYTES,
                    deadline=deadline,
                    trusted_origins=settings.trusted_origins,
                    max_redirects=MOST_REDIRECTS,
                )
    except ObjectNotFound:
        raise InputNotFound("There is no such sound. Uploads are deleted after a day.") from None
    except TooLarge:
        raise MediaTooLarge(f"A sound has more than {MOST_BYTES} bytes.") from None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _parse_location(uri: str, caller: str, settings: VideoSettings) -> tuple[str, str]:
    """Bucket and key of the operator's music, or of one of this caller's own uploads."""
    if uri.startswith(MUSIC):
        return settings.models_bucket, uri
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not settings.uploads_bucket or bucket != settings.uploads_bucket or not key.startswith(f"requests/{caller}/"):
        raise RefusedUrl("In this stack's buckets you may name only your own uploads, by the `uri` of POST /uploads.")
    return bucket, key
