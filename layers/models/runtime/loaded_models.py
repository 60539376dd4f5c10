"""The models of the pack in use, loaded when needed and kept as long as the memory allows."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt
from layers.engine.embedder import Embedder
from layers.engine.session import LeanSession, lean_malloc, session, small_session, trim
from layers.engine.swapper import Floats, Swapper
from layers.models.runtime.engine_choice import create_embedder, create_swapper
from layers.models.runtime.manifest import (
    EMBEDDING_MAP_BLOB,
    FILE_BLOB,
    THRESHOLD_BLOB,
    WEIGHTS_BLOB,
    Manifest,
    ModelName,
)
from layers.models.runtime.model_store import ModelStore
from layers.models.runtime.s3_download import Download

AMPLE_MEMORY_MB = 1024  # from here on the embedder stays loaded beside the swapper
START_BYTES = 48 << 20  # of the swapper's weights, fetched at once where they will go through a window
LARGEST_LAYER_BYTES = 64 << 20  # room for what the embedder computes, on onnxruntime its last layer in fp32 above all


class LoadedModels:
    """The models of one sandbox. Safe to use from the threads of one request; requests come one after another."""

    def __init__(
        self,
        store: ModelStore,
        threads: int,
        retention: Literal["container", "request"] = "container",
        memory_mb: int = 512,
    ) -> None:
        """`threads` is per session; `memory_mb` is the sandbox's, and decides whether the embedder may stay loaded."""
        lean_malloc()  # before there are threads, each of which would get an arena of its own
        self._store = store
        self._threads = threads
        self._keeps_embedder = retention == "container" and memory_mb >= AMPLE_MEMORY_MB
        self._in_window = (
            retention == "request"
        )  # weights that nobody will use again need not all be in memory at one time
        self._lock = threading.RLock()
        self._manifest: Manifest | None = None
        self._pending: PendingSwapper | None = None
        self._detector: LeanSession | None = None
        self._embedder: Embedder | None = None
        self._embedder_weights: Download | None = None
        self._emap: Floats | None = None
        self._gate: tuple[Any, float] | None = None

    def refresh(self, deadline: Deadline) -> Manifest:
        """Look up the pack in use; release the models of an older one. Raises what ModelStore.current_pack raises."""
        manifest = self._store.current_pack(deadline)
        with self._lock:
            if self._manifest is not None and manifest != self._manifest:
                self.release()
            self._manifest = manifest
        return manifest

    @property
    def manifest(self) -> Manifest:
        """The manifest of the pack in use, once `refresh` or `start_swapper` has been called."""
        if self._manifest is None:
            raise RuntimeError("no pack has been looked up yet")
        return self._manifest

    @property
    def digests(self) -> dict[str, str]:
        """The digest of each model, by its name."""
        return {name: model.digest for name, model in self.manifest.models.items()}

    @property
    def bytes_fetched(self) -> int:
        """Bytes of models that this process has fetched so far."""
        return self._store.bytes_fetched

    def start_swapper(self, deadline: Deadline) -> PendingSwapper:
        """Look up the pack, and fetch the swapper's weights in the background; call this first in a request.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        self.refresh(deadline)
        with self._lock:
            if self._pending is not None:
                if self._pending.reuse():
                    return self._pending
                self._pending.close()
            # Leave room for the embedder, in case the face is new. It rarely delays: by then all faces are found.
            pause_at = None if self._keeps_embedder else self._bytes_beside_embedder()
            if self._in_window:
                pause_at = START_BYTES
            self._pending = PendingSwapper(self, self._store, self._threads, deadline, pause_at, self._in_window)
            return self._pending

    def detector_session(self, deadline: Deadline) -> LeanSession:
        """The detector, of the SCRFD family. Raises what `start_swapper` raises."""
        with self._lock:
            if self._detector is None:
                self._detector = small_session(self._read("detector", FILE_BLOB, deadline), self._threads)
            return self._detector

    def embedder(self, deadline: Deadline) -> Embedder:
        """The embedder, which may run while its weights are still arriving. Raises what `start_swapper` raises.

        In a small sandbox it is released as soon as the swapper is taken, so use it before; until then it occupies the
        room of a part of the swapper's weights.
        """
        with self._lock:
            if self._embedder and self._embedder_weights and self._embedder_weights.usable:
                return self._embedder
            self._drop_embedder()
            model = self._require_manifest(deadline).models["embedder"]
            if self._pending and not self._keeps_embedder:
                self._pending.make_room(self._bytes_beside_embedder(), deadline)
            self._embedder_weights = weights = self._store.load(model.blob(WEIGHTS_BLOB), deadline)
            self._embedder = create_embedder(model, self._store, deadline, weights, self._threads)
            return self._embedder

    def emap(self, deadline: Deadline) -> Floats:
        """The embedding map, float32 [512, 512]. Raises what `start_swapper` raises."""
        with self._lock:
            if self._emap is None:
                flat = np.frombuffer(self._read("swapper", EMBEDDING_MAP_BLOB, deadline), "<f4")
                if flat.size != 512 * 512:
                    raise ModelsCorrupt("The embedding map is not 512 x 512. Publish the pack again.")
                self._emap = flat.reshape(512, 512).astype(np.float32, copy=False)
            return self._emap

    def gate(self, deadline: Deadline) -> tuple[Any, float]:
        """The content filter's onnxruntime.InferenceSession, and the probability from which on it refuses.

        Raises ModelsCorrupt if the pack has none, and what `start_swapper` raises.
        """
        with self._lock:
            if self._gate is None:
                if "gate" not in self._require_manifest(deadline).models:
                    raise ModelsCorrupt("The pack has no content filter.")
                try:
                    threshold = float(self._read("gate", THRESHOLD_BLOB, deadline))
                except ValueError:
                    threshold = 0.0
                if not 0 < threshold <= 1:
                    raise ModelsCorrupt(
                        "The content filter's threshold must be above 0 and at most 1. Publish the pack again."
                    )
                self._gate = session(self._read("gate", FILE_BLOB, deadline), self._threads), threshold
            return self._gate

    def release(self) -> None:
        """Release every model."""
        with self._lock:
            if self._pending is not None:
                self._pending.close()
            self._drop_embedder()
            self._pending = self._detector = self._emap = self._gate = None

    def make_room_for_swapper(self) -> None:
        """Release the embedder where the swapper needs its room."""
        with self._lock:
            if not self._keeps_embedder:
                self._drop_embedder()
                trim()

    def forget(self, pending: PendingSwapper) -> None:
        """Release a swapper that nobody waits for any more."""
        with self._lock:
            if self._pending is pending:
                self._pending = None
        pending.close()

    def _bytes_beside_embedder(self) -> int:
        """How many bytes of the swapper's weights may be in memory beside the embedder."""
        models = self.manifest.models
        room = models["embedder"].blob(WEIGHTS_BLOB).size + LARGEST_LAYER_BYTES
        return max(0, models["swapper"].blob(WEIGHTS_BLOB).size - room)

    def _drop_embedder(self) -> None:
        if self._embedder is not None:
            self._embedder.close()
        elif self._embedder_weights is not None:
            self._embedder_weights.close()
        self._embedder = self._embedder_weights = None

    def _require_manifest(self, deadline: Deadline) -> Manifest:
        return self._manifest or self.refresh(deadline)

    def _read(self, model: ModelName, blob: str, deadline: Deadline) -> bytes:
        return self._store.read(self._require_manifest(deadline).models[model].blob(blob), deadline)


class PendingSwapper:
    """A swapper whose weights are arriving, or have been here since an earlier request."""

    def __init__(
        self,
        models: LoadedModels,
        store: ModelStore,
        threads: int,
        deadline: Deadline,
        pause_at: int | None,
        in_window: bool,
    ) -> None:
        model = models.manifest.models["swapper"]
        self._models = models
        self._weights = store.load(model.blob(WEIGHTS_BLOB), deadline, pause_at)
        self._swapper: Future[Swapper] = Future()
        self._in_window = in_window
        self._fetches_weights = True  # whether this request does
        self._is_used = False

        def create() -> None:
            try:
                self._swapper.set_result(
                    create_swapper(model, store, deadline, self._weights, threads, pause_at is not None)
                )
            except BaseException as error:
                self._swapper.set_exception(error)

        threading.Thread(target=create, name="swapper", daemon=True).start()

    def swapper(self, once: bool = False) -> Swapper:
        """The swapper; its first run waits for each layer's weights. In a small sandbox this releases the embedder.

        If it is to run just `once`, and nothing stays after the request, its weights may go through a window. Raises
        ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime, here or in that run.
        """
        self._is_used = True
        self._models.make_room_for_swapper()
        swapper = self._swapper.result()
        self._weights.resume(swapper.window if once and self._in_window else None)
        return swapper

    def drop(self) -> int:
        """Stop fetching, because no swapper is needed after all; return the bytes that were wasted on its weights.

        Complete weights stay for the next request.
        """
        wasted = self._weights.bytes_fetched if self._fetches_weights and not self._is_used else 0
        if not self._weights.complete:
            self._models.forget(self)
        return wasted

    def reuse(self) -> bool:
        """Whether it can serve another request, which then fetches nothing."""
        has_failed = self._swapper.done() and self._swapper.exception() is not None
        self._fetches_weights, self._is_used = False, False
        return self._weights.complete and not has_failed

    def make_room(self, size: int, deadline: Deadline) -> None:
        """Keep about `size` bytes of the weights; the rest is fetched again when the swapper is taken."""
        self._weights.shrink(size, deadline)

    def close(self) -> None:
        """Stop fetching, and release the swapper."""
        self._weights.close()
        if self._swapper.done() and self._swapper.exception() is None:
            self._swapper.result().close()
