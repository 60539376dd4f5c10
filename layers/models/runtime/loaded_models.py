"""The models of the pack in use, loaded when they are needed and no longer than they may stay."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, Literal

import numpy as np

from layers.core.deadline import Deadline
from layers.core.errors import ModelsCorrupt
from layers.core.telemetry import logger
from layers.engine.onnx_embedder import OnnxEmbedder
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.session import lean_malloc, session, trim
from layers.engine.stages import StagePlan
from layers.engine.swapper import Floats, Swapper
from layers.models.runtime.manifest import Manifest, Model, ModelName
from layers.models.runtime.model_store import ModelStore
from layers.models.runtime.s3_download import Download

# Names of the blobs, as lower.py makes them.
FILE, PLAN, WEIGHTS, EMAP, NATIVE = "model.onnx", "plan", "weights", "emap", "native"
THRESHOLD = "threshold"  # of a gate: from which probability on it refuses

AMPLE_MEMORY_MB = 1024  # from here on the embedder stays loaded beside the swapper
START_BYTES = 48 << 20  # of the swapper's weights, where they will go through a window
LARGEST_LAYER_BYTES = 64 << 20  # room for what the embedder computes, its last layer in fp32 above all


class LoadedModels:
    """One per sandbox. Safe to use from the threads of one request; requests come one after the other."""

    def __init__(
        self,
        store: ModelStore,
        threads: int,
        retention: Literal["container", "request"] = "container",
        memory_mb: int = 512,
    ) -> None:
        """`threads` of each session; `memory_mb` of the sandbox, which decides whether the embedder may stay."""
        lean_malloc()  # before there are threads, each with an arena of its own
        self._store = store
        self._threads = threads
        self._keeps_embedder = retention == "container" and memory_mb >= AMPLE_MEMORY_MB
        self._in_window = retention == "request"  # weights that nobody will use again need not all be here at one time
        self._lock = threading.RLock()
        self._manifest: Manifest | None = None
        self._pending: PendingSwapper | None = None
        self._detector: Any = None
        self._embedder: OnnxEmbedder | None = None
        self._embedder_weights: Download | None = None
        self._emap: Floats | None = None
        self._gate: tuple[Any, float] | None = None

    def refresh(self, deadline: Deadline) -> Manifest:
        """Notices a new pack, and gives the old one's models back. Raises as ModelStore.pack does."""
        manifest = self._store.pack(deadline)
        with self._lock:
            if self._manifest is not None and manifest != self._manifest:
                self.release()
            self._manifest = manifest
        return manifest

    @property
    def manifest(self) -> Manifest:
        """Of the pack in use, once `refresh` or `start_swapper` has been called."""
        if self._manifest is None:
            raise RuntimeError("no pack has been looked up yet")
        return self._manifest

    @property
    def digests(self) -> dict[str, str]:
        """Model name to the digest of its blobs."""
        return {name: model.digest for name, model in self.manifest.models.items()}

    @property
    def bytes_fetched(self) -> int:
        """Of models, by this process so far."""
        return self._store.bytes_fetched

    def start_swapper(self, deadline: Deadline) -> PendingSwapper:
        """Looks up the pack and lets the swapper's weights come in the background; call this first in a request.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        self.refresh(deadline)
        with self._lock:
            if self._pending is not None:
                if self._pending.reuse():
                    return self._pending
                self._pending.close()
            # Room for the embedder, should the face be new. It seldom delays: by then all faces are found.
            held_at = None if self._keeps_embedder else self._beside_embedder()
            if self._in_window:
                held_at = START_BYTES
            self._pending = PendingSwapper(self, self._store, self._threads, deadline, held_at, self._in_window)
            return self._pending

    def detector_session(self, deadline: Deadline) -> Any:
        """An onnxruntime.InferenceSession of the SCRFD family. Raises as `start_swapper` does."""
        with self._lock:
            if self._detector is None:
                self._detector = session(self._read("detector", FILE, deadline), self._threads)
            return self._detector

    def embedder(self, deadline: Deadline) -> OnnxEmbedder:
        """The embedder, which may run while its weights are still coming. Raises as `start_swapper` does.

        In a small sandbox it is given back as soon as the swapper is taken, so use it before; and it takes the place of
        a part of the swapper's weights until then.
        """
        with self._lock:
            if self._embedder and self._embedder_weights and self._embedder_weights.usable:
                return self._embedder
            self._drop_embedder()
            blob = self._manifest_or_look(deadline).models["embedder"].blob(WEIGHTS)
            if self._pending and not self._keeps_embedder:
                self._pending.make_room(self._beside_embedder(), deadline)
            self._embedder_weights = self._store.load(blob, deadline)
            plan = StagePlan.parse(self._read("embedder", PLAN, deadline))
            self._embedder = OnnxEmbedder(plan, self._embedder_weights, self._threads)
            return self._embedder

    def emap(self, deadline: Deadline) -> Floats:
        """The embedding map, float32 [512, 512]. Raises as `start_swapper` does."""
        with self._lock:
            if self._emap is None:
                flat = np.frombuffer(self._read("swapper", EMAP, deadline), "<f4")
                if flat.size != 512 * 512:
                    raise ModelsCorrupt("The embedding map is not 512 x 512. Publish the pack again.")
                self._emap = flat.reshape(512, 512).astype(np.float32, copy=False)
            return self._emap

    def gate(self, deadline: Deadline) -> tuple[Any, float]:
        """The content gate's onnxruntime.InferenceSession, and the probability from which on it refuses.

        Raises ModelsCorrupt where the pack has none; and as `start_swapper` does.
        """
        with self._lock:
            if self._gate is None:
                if "gate" not in self._manifest_or_look(deadline).models:
                    raise ModelsCorrupt("The pack has no content gate.")
                try:
                    threshold = float(self._read("gate", THRESHOLD, deadline))
                except ValueError:
                    threshold = 0.0
                if not 0 < threshold <= 1:
                    raise ModelsCorrupt("The content gate's threshold is no probability. Publish the pack again.")
                self._gate = session(self._read("gate", FILE, deadline), self._threads), threshold
            return self._gate

    def release(self) -> None:
        """Give every model back."""
        with self._lock:
            if self._pending is not None:
                self._pending.close()
            self._drop_embedder()
            self._pending = self._detector = self._emap = self._gate = None

    def swapper_is_next(self) -> None:
        """The moment when the swapper needs the room that the embedder may have."""
        with self._lock:
            if not self._keeps_embedder:
                self._drop_embedder()
                trim()

    def forget(self, pending: PendingSwapper) -> None:
        """Give back a swapper that nobody waits for any more."""
        with self._lock:
            if self._pending is pending:
                self._pending = None
        pending.close()

    def _beside_embedder(self) -> int:
        """How many bytes of the swapper's weights may be in memory while the embedder is."""
        models = self.manifest.models
        room = models["embedder"].blob(WEIGHTS).size + LARGEST_LAYER_BYTES
        return max(0, models["swapper"].blob(WEIGHTS).size - room)

    def _drop_embedder(self) -> None:
        if self._embedder is not None:
            self._embedder.close()
        elif self._embedder_weights is not None:
            self._embedder_weights.close()
        self._embedder = self._embedder_weights = None

    def _manifest_or_look(self, deadline: Deadline) -> Manifest:
        return self._manifest or self.refresh(deadline)

    def _read(self, model: ModelName, blob: str, deadline: Deadline) -> bytes:
        return self._store.read(self._manifest_or_look(deadline).models[model].blob(blob), deadline)


def _swapper(
    model: Model, store: ModelStore, deadline: Deadline, weights: Download, threads: int, lean: bool
) -> Swapper:
    """The native engine's where it knows the network and can be used here, otherwise onnxruntime's."""
    names = {blob.name for blob in model.blobs}
    why = "the pack has no description for it"
    if NATIVE in names:
        from layers.engine.native_swapper import Description, NativeSwapper, Unavailable

        try:
            description = Description.parse(store.read(model.blob(NATIVE), deadline), weights.blob.size)
            return NativeSwapper(description, weights, threads, lean=lean)
        except Unavailable as error:
            why = str(error)
    logger().info("the swapper runs on onnxruntime", extra={"no_native_engine": why})
    return OnnxSwapper(StagePlan.parse(store.read(model.blob(PLAN), deadline)), weights, threads)


class PendingSwapper:
    """A swapper whose weights are on their way, or have been here since an earlier request."""

    def __init__(
        self,
        models: LoadedModels,
        store: ModelStore,
        threads: int,
        deadline: Deadline,
        held_at: int | None,
        in_window: bool,
    ) -> None:
        model = models.manifest.models["swapper"]
        self._models = models
        self._weights = store.load(model.blob(WEIGHTS), deadline, held_at)
        self._made: Future[Swapper] = Future()
        self._in_window = in_window
        self._own_bytes = True  # whether this request fetched them
        self._taken = False

        def make() -> None:
            try:
                self._made.set_result(_swapper(model, store, deadline, self._weights, threads, held_at is not None))
            except BaseException as error:
                self._made.set_exception(error)

        threading.Thread(target=make, name="swapper", daemon=True).start()

    def swapper(self, once: bool = False) -> Swapper:
        """The swapper; its first run waits for each layer's weights. In a small sandbox the embedder is given back.

        If it is to run just `once`, and nothing stays after the request, its weights may go through a window. Raises
        ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime, here or in that run.
        """
        self._taken = True
        self._models.swapper_is_next()
        made = self._made.result()
        self._weights.let_go(made.window if once and self._in_window else None)
        return made

    def drop(self) -> int:
        """No swapper is needed after all: stop fetching. Returns the bytes of weights fetched in vain.

        Complete weights stay for the next request.
        """
        in_vain = self._weights.bytes_fetched if self._own_bytes and not self._taken else 0
        if not self._weights.complete:
            self._models.forget(self)
        return in_vain

    def reuse(self) -> bool:
        """Whether it serves a further request, which then fetches nothing."""
        failed = self._made.done() and self._made.exception() is not None
        self._own_bytes, self._taken = False, False
        return self._weights.complete and not failed

    def make_room(self, size: int, deadline: Deadline) -> None:
        """Keep about `size` bytes of weights; the rest is fetched again when the swapper is taken."""
        self._weights.shrink(size, deadline)

    def close(self) -> None:
        """Stop fetching and give the memory back."""
        self._weights.close()
        if self._made.done() and self._made.exception() is None:
            self._made.result().close()
