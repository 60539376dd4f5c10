"""What is kept of a swap beside its picture, so that all of it can be removed for whoever asked for it."""

from __future__ import annotations

from layers.core.errors import NotFound
from layers.core.ids import made_at, pseudonym
from layers.core.settings import Settings
from layers.core.storage import Storage

EXTENSIONS = {"jpeg": "jpg", "png": "png", "webp": "webp"}
_CALLER, _LATENT = "caller", "latent"  # metadata of the result


def metadata(caller: str | None, latent_key: str | None) -> dict[str, str]:
    """Of a result: who asked, not by name, and where the source face's latent is kept, if it is."""
    known = {_CALLER: pseudonym(caller) if caller else None, _LATENT: latent_key}
    return {name: value for name, value in known.items() if value}


def remove(name: str, caller: str | None, storage: Storage, settings: Settings) -> None:
    """Delete the result with that id, the inputs that were sent inside its request, and the latent kept of its face.

    Raises NotFound where the caller has no such result; another's is not told from none.
    """
    removed = False
    if made_at(name) is not None:
        for extension in EXTENSIONS.values():
            key = f"swaps/{name}.{extension}"
            head = storage.head(settings.outputs_bucket, key)
            if head is None or head.metadata.get(_CALLER, "") != (pseudonym(caller) if caller else ""):
                continue
            if _LATENT in head.metadata:
                storage.delete(settings.models_bucket, head.metadata[_LATENT])
            for field in ("meme", "face"):
                storage.delete(settings.uploads_bucket, f"requests/{name}/{field}")
            storage.delete(settings.outputs_bucket, key)
            removed = True
    if not removed:
        raise NotFound(f"There is no result named {name!r:.60}, or it is deleted.")
