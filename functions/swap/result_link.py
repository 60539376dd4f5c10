"""Links to the pictures of finished swaps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from functions.swap.settings import Settings

if TYPE_CHECKING:
    from layers.core.storage import Storage

LINK_SECONDS = 3600  # how long a link works


def link_to_result(key: str, storage: Storage, settings: Settings) -> str:
    """A presigned URL of the object with that key in the outputs bucket."""
    return storage.presign_get(settings.outputs_bucket, key, LINK_SECONDS)
