"""A sound that a request names: the operator's music, or a sound of the caller's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from functions.video.render import own_file
from layers.core.errors import InputNotFound, InvalidRequest, MediaTooLarge, ObjectNotFound, StorageFailed, TooLarge
from layers.core.units import MIB

if TYPE_CHECKING:
    from functions.video.context import StepContext
    from functions.video.services import Services

MOST_BYTES = 64 * MIB
MUSIC = "music/"  # of the operator's, in the models bucket


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
    if uri.startswith(MUSIC):
        _fetch_music(uri, path, context)
    else:
        own_file.fetch(uri, path, MOST_BYTES, context, "sound")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch_music(key: str, path: Path, context: StepContext) -> None:
    bucket, deadline = context.settings.models_bucket, context.deadline
    try:
        context.services.storage.download(bucket, key, path, MOST_BYTES, deadline)
    except ObjectNotFound:
        raise InputNotFound("The operator has removed this music.") from None
    except TooLarge:
        raise MediaTooLarge(f"The operator's music has more than the {MOST_BYTES} bytes that are allowed.") from None
