"""Looks whether a published pack is whole, and still computes what its files computed."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt
from layers.engine.native_swapper import Description, NativeSwapper, Unavailable
from layers.engine.onnx_swapper import SOURCE, TARGET
from layers.engine.session import session
from layers.engine.stages import Array, StagedNetwork, StagePlan
from layers.models.runtime.loaded_models import FILE, NATIVE, PLAN, WEIGHTS
from layers.models.runtime.manifest import Blob, Model, Pointer
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.bundle import blobs
from layers.models.tools.convert import psnr_db
from layers.models.tools.history import manifest
from layers.models.tools.progress import Show, silent

SECONDS, SLOWEST = 60.0, 500_000  # of a blob: so long at least, and a second more for so many bytes


@dataclass(frozen=True)
class VerificationReport:
    """What was found of one part of a pack."""

    pack: str
    digest: str
    part: str  # "manifest", the name of a model, or the key of a blob
    fault: str  # what is wrong with it; "" where nothing is
    measured: dict[str, float]  # against the golden vector: max_difference, cosine, psnr_db and native_psnr_db


def verify_pack(pointers: Iterable[Pointer], bucket: str, client: Any, show: Show = silent) -> list[VerificationReport]:
    """Reads every blob of these packs and runs every model on its golden vector; faults are findings, not errors.

    What packs have in common is looked at once.
    """
    return _Check(bucket, client, show).packs(pointers)


class _Check:
    def __init__(self, bucket: str, client: Any, show: Show) -> None:
        self._bucket, self._client, self._show = bucket, client, show
        self._store = ModelStore(bucket, client)
        self._faults: dict[str, str] = {}  # of blobs, by key
        self._ran: dict[tuple[str, str], tuple[str, dict[str, float]]] = {}

    def packs(self, pointers: Iterable[Pointer]) -> list[VerificationReport]:
        found = []
        for pointer in pointers:
            name = (pointer.pack, pointer.digest)
            try:
                pack = manifest(pointer, self._bucket, self._client)
            except ColdswapError as error:
                found.append(VerificationReport(*name, "manifest", error.detail, {}))
                continue
            found.append(VerificationReport(*name, "manifest", "", {}))
            found += [VerificationReport(*name, blob.key, self._fault(blob), {}) for blob in blobs(pack)]
            for model_name, model in pack.models.items():
                key = (model.digest, model.golden.sha256)
                if not any(self._faults[blob.key] for blob in (model.golden, *model.blobs)) and key not in self._ran:
                    self._ran[key] = self._run(model)
                found.append(
                    VerificationReport(*name, model_name, *self._ran.get(key, ("a part of it is at fault", {})))
                )
        return found

    def _fault(self, blob: Blob) -> str:
        if blob.key not in self._faults:
            try:
                self._read(blob)
                self._faults[blob.key] = ""
            except ColdswapError as error:
                self._faults[blob.key] = error.detail
        return self._faults[blob.key]

    def _read(self, blob: Blob) -> None:
        """In parallel, as the function reads; each chunk by its digest, then all of it."""
        download = self._store.load(blob, _enough(blob))
        whole = sha256()
        try:
            for end in [*range(blob.chunk_bytes, blob.size, blob.chunk_bytes), blob.size]:
                whole.update(download.wait(end)[(end - 1) // blob.chunk_bytes * blob.chunk_bytes :])
                self._show(f"verifying {blob.name}", end, blob.size)
        finally:
            download.close()
        if whole.hexdigest() != blob.sha256:
            raise ModelsCorrupt(f"{blob.key} is not what its name says.")

    def _run(self, model: Model) -> tuple[str, dict[str, float]]:
        try:
            golden = np.load(io.BytesIO(self._store.read(model.golden, _enough(model.golden))), allow_pickle=False)
            inputs, expected = (
                {name.removeprefix(side): golden[name] for name in golden.files if name.startswith(side)}
                for side in ("input:", "output:")
            )
            measured = _measured(self._outputs(model, inputs, list(expected)), expected, set(golden.files))
            fault = _judged(measured, golden)
            if any(blob.name == NATIVE for blob in model.blobs):
                with suppress(Unavailable):
                    native = _measured(self._native(model, inputs, next(iter(expected))), expected, set(golden.files))
                    fault = fault or _judged(native, golden)
                    measured |= {f"native_{name}": value for name, value in native.items()}
            return fault, measured
        except ColdswapError as error:
            return error.detail, {}
        except Exception as error:  # of whatever kind: what was published does not run
            return f"does not run: {error}", {}

    def _outputs(self, model: Model, inputs: dict[str, Array], names: list[str]) -> dict[str, Array]:
        if model.kind == "onnx":
            file = model.blob(FILE)
            made = session(self._store.read(file, _enough(file)), 0).run(names, inputs)
            return dict(zip(names, made, strict=True))
        plan, weights = model.blob(PLAN), model.blob(WEIGHTS)
        network = StagedNetwork(
            StagePlan.parse(self._store.read(plan, _enough(plan))), self._store.load(weights, _enough(weights)), 0
        )
        try:
            return network.run(inputs)
        finally:
            network.close()

    def _native(self, model: Model, inputs: dict[str, Array], name: str) -> dict[str, Array]:
        """What the native engine makes of a swapper's inputs. Raises Unavailable."""
        description, weights = model.blob(NATIVE), model.blob(WEIGHTS)
        described = Description.parse(self._store.read(description, _enough(description)), weights.size)
        swapper = NativeSwapper(described, self._store.load(weights, _enough(weights)), len(os.sched_getaffinity(0)))
        try:
            return {name: swapper.run(inputs[TARGET], inputs[SOURCE])}
        finally:
            swapper.close()


def _measured(made: dict[str, Array], expected: dict[str, Array], tolerances: set[str]) -> dict[str, float]:
    first, truth = next((made[name], expected[name]) for name in expected)
    if "min_psnr_db" in tolerances:
        return {"psnr_db": psnr_db(first, truth)}
    if "min_cosine" in tolerances:
        return {"cosine": float(np.sum(first * truth) / (np.linalg.norm(first) * np.linalg.norm(truth)))}
    return {"max_difference": max(float(np.abs(made[name] - expected[name]).max()) for name in expected)}


def _judged(measured: dict[str, float], golden: Any) -> str:
    ((name, value),) = measured.items()
    least, most = golden.get(f"min_{name}"), golden.get(name)
    if (least is not None and value >= least) or (most is not None and value <= most):
        return ""
    return f"{name} is {value:.4g} on the golden vector, and should be {least if most is None else most:.4g}"


def _enough(blob: Blob) -> Deadline:
    return Deadline.after(SECONDS + blob.size / SLOWEST)
