"""The models of the pack in use, loaded when needed and kept as long as the memory allows."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Literal

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt
from layers.engine.session import LeanSession, lean_malloc, session, small_session, trim
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

if TYPE_CHECKING:
    from layers.engine.embedder import Embedder
    from layers.engine.swapper import Floats, Swapper

AMPLE_MEMORY_MB = 1024  # from here on the embedder stays loaded beside the swapper
START_BYTES = 48 << 20  # of the swapper's weights, fetched at once where they will go through a window
EARLY_BYTES = 64 << 20  # of the same, fetched before a request is read: as many as come meanwhile at 80 MB/s
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
        self._anticipation_lock = threading.Lock()  # never held while something is waited for
        self._anticipates_swap = False
        self._lookup: Future[Manifest] | None = None  # of the pack, for the request that has come
        self._bytes_before: int | None = None  # that had been fetched when it came
        self._detector: LeanSession | None = None
        self._embedder: Embedder | None = None
        self._embedder_weights: Download | None = None
        self._emap: Floats | None = None
        self._gate: tuple[Any, float] | None = None

    def refresh(self, deadline: Deadline) -> Manifest:
        """Look up the pack in use; release the models of an older one. Raises what ModelStore.current_pack raises."""
        return self._use(self._take_lookup(deadline) or self._store.current_pack(deadline))

    def _use(self, manifest: Manifest) -> Manifest:
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

    @property
    def bytes_fetched_before(self) -> int:
        """The same, but for what has been fetched in anticipation of the present swap."""
        before = self._bytes_before
        return self._store.bytes_fetched if before is None else before

    def anticipate_swap(self, deadline: Deadline) -> None:
        """Look up the pack and start to fetch what a swap needs first, in the background, if nothing is here yet.

        So a cold start imports what reads the request meanwhile. Errors are left to whoever needs the models. What
        nobody needs after all, `drop_anticipated` must drop.
        """
        with self._anticipation_lock:
            if self._pending is not None or self._lookup is not None:
                return
            lookup = self._lookup = Future()
            self._anticipates_swap, self._bytes_before = True, self._store.bytes_fetched

        def look_up() -> None:
            try:
                manifest = self._store.current_pack(deadline)
                with self._anticipation_lock:
                    if self._anticipates_swap:
                        if self._detector is None or manifest != self._manifest:
                            self._store.anticipate(manifest.models["detector"].blob(FILE_BLOB), deadline)
                        weights, pause_at = manifest.models["swapper"].blob(WEIGHTS_BLOB), self._pause_at(manifest)
                        begin = EARLY_BYTES if pause_at is None else min(EARLY_BYTES, pause_at)
                        self._store.anticipate(weights, deadline, begin)  # the embedder may be needed sooner
                lookup.set_result(manifest)
            except BaseException as error:
                lookup.set_exception(error)

        threading.Thread(target=look_up, name="pack", daemon=True).start()

    def expect_embedder(self, deadline: Deadline) -> Download | None:
        """Start to fetch what a new face needs before its picture has been looked at; its weights.

        Nothing is fetched, and None returned, if it is here, or if the swapper has to make room for it first.
        """
        with self._lock:
            if self._embedder_weights is not None and self._embedder_weights.usable:
                return None
            if not self._keeps_embedder and self._pending is not None and self._pending.is_complete:
                return None
            models = self.manifest.models
            weights = self._store.anticipate(models["embedder"].blob(WEIGHTS_BLOB), deadline)
            if self._emap is None:
                self._store.anticipate(models["swapper"].blob(EMBEDDING_MAP_BLOB), deadline)
            return weights

    def drop_anticipated(self) -> int:
        """Stop fetching what was anticipated or expected and nobody has needed; return the bytes that were wasted."""
        with self._anticipation_lock:
            self._anticipates_swap, self._lookup, self._bytes_before = False, None, None
            return self._store.drop_anticipated()

    def start_swapper(self, deadline: Deadline, *, embedder_first: bool = False) -> PendingSwapper:
        """Look up the pack, and fetch the swapper's weights in the background; call this first in a request.

        `embedder_first`: the embedder will be needed, and sooner than they. Raises ModelsMissing, ModelsCorrupt,
        StorageFailed or OutOfTime.
        """
        self.refresh(deadline)
        with self._lock:
            pending = self._pending
            if pending is not None and not pending.reuse():
                pending.close()
                pending = self._pending = None
            after = self.expect_embedder(deadline) if embedder_first else None
            if pending is None:
                pause_at = self._pause_at(self.manifest)
                pending = self._pending = PendingSwapper(
                    self, self._store, self._threads, deadline, pause_at, after, in_window=self._in_window
                )
            return pending

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
                self._pending.make_room(_bytes_beside_embedder(self.manifest), deadline)
            self._embedder_weights = weights = self._store.load(model.blob(WEIGHTS_BLOB), deadline)
            self._embedder = create_embedder(model, self._store, deadline, weights, self._threads)
            return self._embedder

    def emap(self, deadline: Deadline) -> Floats:
        """The embedding map, float32 [512, 512]. Raises what `start_swapper` raises."""
        with self._lock:
            if self._emap is None:
                import numpy as np

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

    def _take_lookup(self, deadline: Deadline) -> Manifest | None:
        """The manifest that was looked up for this request, if one was and that succeeded."""
        with self._anticipation_lock:
            lookup, self._lookup = self._lookup, None
        if lookup is None:
            return None
        wait([lookup], max(deadline.left(), 0.0))
        return lookup.result() if lookup.done() and lookup.exception() is None else None

    def _pause_at(self, manifest: Manifest) -> int | None:
        """How many bytes of the swapper's weights are fetched before it is taken; None: all."""
        if self._in_window:
            return START_BYTES
        # Leave room for the embedder, in case the face is new. It rarely delays: by then all faces are found.
        return None if self._keeps_embedder else _bytes_beside_embedder(manifest)

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


def _bytes_beside_embedder(manifest: Manifest) -> int:
    """How many bytes of the swapper's weights may be in memory beside the embedder."""
    weights, others = (manifest.models[name].blob(WEIGHTS_BLOB) for name in ("swapper", "embedder"))
    return max(0, weights.size - others.size - LARGEST_LAYER_BYTES)


class PendingSwapper:
    """A swapper whose weights are arriving, or have been here since an earlier request."""

    def __init__(
        self,
        models: LoadedModels,
        store: ModelStore,
        threads: int,
        deadline: Deadline,
        pause_at: int | None,
        after: Download | None,
        *,
        in_window: bool,
    ) -> None:
        model = models.manifest.models["swapper"]
        self._models = models
        self._weights = store.load(model.blob(WEIGHTS_BLOB), deadline, pause_at, after)
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

    @property
    def is_complete(self) -> bool:
        """Whether all its weights are here."""
        return self._weights.complete

    def make_room(self, size: int, deadline: Deadline) -> None:
        """Keep about `size` bytes of the weights; the rest is fetched again when the swapper is taken."""
        self._weights.shrink(size, deadline)

    def close(self) -> None:
        """Stop fetching, and release the swapper."""
        self._weights.close()
        if self._swapper.done() and self._swapper.exception() is None:
            self._swapper.result().close()
