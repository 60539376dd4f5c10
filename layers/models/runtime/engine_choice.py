"""Chooses what runs a network: the native engine if it knows it and can run here, otherwise onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from layers.core.telemetry import logger
from layers.models.runtime.manifest import NATIVE_BLOB, PLAN_BLOB, Model

if TYPE_CHECKING:
    from layers.core.deadline import Deadline
    from layers.engine.embedder import Embedder
    from layers.engine.swapper import Swapper
    from layers.models.runtime.model_store import ModelStore
    from layers.models.runtime.s3_download import Download

Network = TypeVar("Network")


def create_swapper(
    model: Model, store: ModelStore, deadline: Deadline, weights: Download, threads: int, lean: bool
) -> Swapper:
    """Make a swapper; `lean` suits a small sandbox. Raises what reading a blob raises."""

    def create_native(description: bytes) -> Swapper:
        from layers.engine.native_swapper import Description, NativeSwapper

        return NativeSwapper(Description.parse(description, weights.blob.size), weights, threads, lean=lean)

    native = _try_native("swapper", model, store, deadline, create_native)
    if native is not None:
        return native
    from layers.engine.onnx_swapper import OnnxSwapper
    from layers.engine.stages import StagePlan

    return OnnxSwapper(StagePlan.parse(store.read(model.blob(PLAN_BLOB), deadline)), weights, threads)


def create_embedder(model: Model, store: ModelStore, deadline: Deadline, weights: Download, threads: int) -> Embedder:
    """Make an embedder. Raises what reading a blob raises."""

    def create_native(description: bytes) -> Embedder:
        from layers.engine.native_embedder import EmbedderDescription, NativeEmbedder

        parsed = EmbedderDescription.parse(description, weights.blob.size)
        # Lean in any sandbox: it runs once or twice in a request, and what it works in would lie idle, some 10 MB.
        return NativeEmbedder(parsed, weights, threads, lean=True)

    native = _try_native("embedder", model, store, deadline, create_native)
    if native is not None:
        return native
    from layers.engine.onnx_embedder import OnnxEmbedder
    from layers.engine.stages import StagePlan

    return OnnxEmbedder(StagePlan.parse(store.read(model.blob(PLAN_BLOB), deadline)), weights, threads)


def _try_native(
    name: str, model: Model, store: ModelStore, deadline: Deadline, create: Callable[[bytes], Network]
) -> Network | None:
    """What `create` makes of the model's description; None, and a line in the log that says why, if nothing can."""
    why = "the pack has no description for it"
    if any(blob.name == NATIVE_BLOB for blob in model.blobs):
        from layers.engine.native_library import Unavailable

        try:
            return create(store.read(model.blob(NATIVE_BLOB), deadline))
        except Unavailable as error:
            why = str(error)
    logger().info(f"the {name} runs on onnxruntime", extra={"no_native_engine": why})
    return None
