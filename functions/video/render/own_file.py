"""A file of the caller's own that a request names: which may be named, and how it is fetched."""

from __future__ import annotations

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

if TYPE_CHECKING:
    from functions.video.context import StepContext
    from functions.video.settings import VideoSettings

MOST_REDIRECTS = 3


def check_uri(uri: str, field: str, caller: str, settings: VideoSettings) -> None:
    """Reject a URI that this caller could never have fetched. Raises RefusedUrl or InvalidRequest, naming the field."""
    from layers.core.http_fetch import check_url

    try:
        scheme = urlsplit(uri).scheme.lower()
        if scheme == "s3":
            _parse_location(uri, caller, settings)
        elif scheme in ("https", "http"):
            check_url(uri, settings.trusted_origins)
        else:
            raise InvalidRequest("must be an https URL, or the uri of an upload")
    except RefusedUrl as error:
        raise RefusedUrl(f"{field}: {error.detail}") from None
    except (InvalidRequest, ValueError):
        raise InvalidRequest(f"{field} must be an https URL, or the uri of an upload.") from None


def fetch(uri: str, path: Path, limit: int, context: StepContext, what: str) -> int:
    """Fetch the whole file, of at most `limit` bytes; its size in bytes. `what` names it in errors: clip or sound.

    Raises RefusedUrl, InputNotFound, MediaTooLarge, UpstreamFailed, StorageFailed, StorageFull or OutOfTime.
    """
    from layers.core.http_fetch import fetch_into
    from layers.core.storage import open_for_writing

    settings, deadline = context.settings, context.deadline
    try:
        if urlsplit(uri).scheme.lower() == "s3":
            bucket, key = _parse_location(uri, context.task.caller, settings)
            return context.services.storage.download(bucket, key, path, limit, deadline)
        with open_for_writing(path) as file:
            fetch_into(
                file,
                uri,
                limit=limit,
                deadline=deadline,
                trusted_origins=settings.trusted_origins,
                max_redirects=MOST_REDIRECTS,
            )
            return file.tell()
    except ObjectNotFound:
        raise InputNotFound(f"There is no upload at the S3 URI of a {what}. Uploads are deleted after a day.") from None
    except StorageFailed:  # its own message has the key, and with it the caller's pseudonym
        raise StorageFailed(f"Storage did not respond for an upload that is a {what}.") from None
    except TooLarge:
        raise MediaTooLarge(f"A {what} has more than the {limit} bytes that are allowed.") from None


def _parse_location(uri: str, caller: str, settings: VideoSettings) -> tuple[str, str]:
    """Bucket and key of an s3: URI that this caller may name: its own uploads. Raises RefusedUrl or InvalidRequest."""
    from layers.core.storage import parse_s3_uri

    bucket, key = parse_s3_uri(uri)
    if not settings.uploads_bucket or bucket != settings.uploads_bucket or not key.startswith(f"requests/{caller}/"):
        raise RefusedUrl("In this stack's buckets you may name only your own uploads, by the uri from POST /uploads.")
    return bucket, key
