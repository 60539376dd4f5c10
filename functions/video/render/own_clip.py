"""A caller's own video or picture: which may be named, how it is fetched, and what it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from functions.video.settings import VideoSettings
from layers.core.errors import (
    InputNotFound,
    InvalidRequest,
    MediaTooLarge,
    ObjectNotFound,
    RefusedUrl,
    StorageFailed,
    TooLarge,
    UnreadableMedia,
    UnreadablePicture,
    UnsupportedPicture,
)
from layers.core.http_fetch import check_url, fetch_into
from layers.core.storage import open_for_writing
from layers.core.units import MIB
from layers.media.formats import SNIFFED_BYTES, PictureFormat, sniff_picture
from layers.media.mp4 import Index, read_index

if TYPE_CHECKING:
    from functions.video.context import StepContext

MOST_REDIRECTS = 3
MOST_PICTURE_BYTES = 32 * MIB


def check_uri(uri: str, field: str, caller: str, settings: VideoSettings) -> None:
    """Reject a URI that this caller could never have fetched. Raises RefusedUrl or InvalidRequest, naming the field."""
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


def fetch(uri: str, path: Path, context: StepContext) -> int:
    """Fetch the whole file, at most `max_clip_bytes`; its size in bytes.

    Raises RefusedUrl, InputNotFound, MediaTooLarge, UpstreamFailed, StorageFailed, StorageFull or OutOfTime.
    """
    settings = context.settings
    limit = settings.max_clip_bytes
    try:
        if uri.startswith("s3:"):
            bucket, key = _parse_location(uri, context.task.caller, settings)
            return context.services.storage.download(bucket, key, path, limit, context.deadline)
        with open_for_writing(path) as file:
            fetch_into(
                file,
                uri,
                limit=limit,
                deadline=context.deadline,
                trusted_origins=settings.trusted_origins,
                max_redirects=MOST_REDIRECTS,
            )
            return file.tell()
    except ObjectNotFound:
        raise InputNotFound("There is no upload at the S3 URI of a clip. Uploads are deleted after a day.") from None
    except StorageFailed:  # its own message has the key, and with it the caller's pseudonym
        raise StorageFailed("Storage did not respond for an upload that is a clip.") from None
    except TooLarge:
        raise MediaTooLarge(f"A clip has more than the {limit} bytes that are allowed.") from None


def read_still(path: Path, max_pixels: int) -> PictureFormat | None:
    """The format of a JPEG, PNG or WebP that is whole; None for another file. Raises UnreadableMedia or
    MediaTooLarge."""
    from layers.media.picture_header import probe

    with path.open("rb") as file:
        kind = sniff_picture(file.read(SNIFFED_BYTES))
    if kind is None:
        return None
    if path.stat().st_size > MOST_PICTURE_BYTES:
        raise MediaTooLarge(f"A picture has more than the {MOST_PICTURE_BYTES} bytes that are allowed.")
    try:
        header = probe(path.read_bytes())
    except (UnreadablePicture, UnsupportedPicture) as error:
        raise UnreadableMedia(f"A clip cannot be shown: {error.detail}") from None
    if header.width * header.height > max_pixels:
        raise MediaTooLarge(f"A picture is too large: {header.width}x{header.height} pixels.")
    return kind


def read_video_index(path: Path, size: int) -> Index:
    """The index of a file that is whole. Raises UnreadableMedia."""
    with path.open("rb") as file:

        def read(at: int, count: int) -> bytes:
            file.seek(at)
            return file.read(count)

        return read_index(read, size)


def _parse_location(uri: str, caller: str, settings: VideoSettings) -> tuple[str, str]:
    """Bucket and key of an s3: URI that this caller may name: its own uploads."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    if not settings.uploads_bucket or bucket != settings.uploads_bucket or not key.startswith(f"requests/{caller}/"):
        raise RefusedUrl("In this stack's buckets you may name only your own uploads, by the `uri` of POST /uploads.")
    return bucket, key
