"""What the use case works with on one's own machine: folders in place of buckets, and models that stay loaded."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coldswap.folder_client import FolderClient
from coldswap.folder_storage import FolderStorage
from functions.swap import cost
from functions.swap.context import SwapContext
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from layers.core import telemetry
from layers.core.budget import Budget
from layers.core.cpu_count import thread_count
from layers.core.deadline import Deadline
from layers.models.runtime.loaded_models import AMPLE_MEMORY_MB, LoadedModels
from layers.models.runtime.model_store import ModelStore

MODELS, UPLOADS, OUTPUTS = "models", "uploads", "outputs"  # buckets
SECONDS = 900.0  # that one call may take
ADVICE = "Use a smaller picture."
log = logging.getLogger("coldswap")

_one_at_a_time = threading.Lock()
_loaded: dict[Path, LoadedModels] = {}


@dataclass(frozen=True)
class Workspace:
    """One call's folders, and what the use case needs beside them."""

    context: SwapContext
    folder: Path

    def put(self, name: str, content: bytes) -> None:
        """Store a picture under that name."""
        self.context.storage.write(UPLOADS, name, content, "")

    def uri(self, name: str) -> str:
        """The URI of a picture that was put there."""
        return f"s3://{UPLOADS}/{name}"

    def picture_path(self, name: str) -> Path:
        """The file of a picture that was put there."""
        return self.folder / UPLOADS / name

    def read_result(self, key: str) -> bytes:
        """The result with that key."""
        return (self.folder / OUTPUTS / key).read_bytes()


@contextmanager
def open_workspace(pack: Path, max_picture_bytes: int, signing_key: str) -> Iterator[Workspace]:
    """A workspace with the models of the pack in that folder. Calls come one after another, whatever their threads.

    `signing_key` is a location as `signing_chain` takes it.
    """
    telemetry.log_to(log)
    with _one_at_a_time, tempfile.TemporaryDirectory(prefix="coldswap-") as folder:
        storage = FolderStorage(Path(folder), {MODELS: pack})
        settings = Settings(
            models_bucket=MODELS,
            uploads_bucket=UPLOADS,
            outputs_bucket=OUTPUTS,
            default_face="",
            model_retention="container",
            trusted_origins=frozenset(),
            state_table="",
            state_machine_arn="",
            threads=thread_count({}),
            auth_mode="open",
            signing_key=signing_key,
            max_picture_bytes=max_picture_bytes,
        )
        context = SwapContext(
            settings=settings,
            storage=storage,
            models=_load_models(pack, settings.threads),
            budget=Budget("", cost.UNIT, lambda: 0, _no_cloud),
            denylist=DenylistStore(storage, MODELS),
            records=SwapRecords("", _no_cloud, 0),
            deadline=Deadline.after(SECONDS, ADVICE),
        )
        yield Workspace(context, Path(folder))


def _load_models(pack: Path, threads: int) -> LoadedModels:
    """The models of the pack in that folder, which stay loaded until another folder is used."""
    if pack not in _loaded:
        for models in _loaded.values():
            models.release()
        _loaded.clear()
        _loaded[pack] = LoadedModels(ModelStore(MODELS, FolderClient(pack)), threads, memory_mb=AMPLE_MEMORY_MB)
    return _loaded[pack]


def _no_cloud() -> Any:
    raise RuntimeError("there is no cloud here")
