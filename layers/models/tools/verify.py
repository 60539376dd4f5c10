"""Verifies that a published pack is complete, and still computes what its files computed."""

from __future__ import annotations

import io
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from layers.core.deadline import Deadline
from layers.core.errors import ColdswapError, ModelsCorrupt
from layers.engine.native_library import Unavailable
from layers.engine.session import session
from layers.engine.stages import Array, StagedNetwork, StagePlan
from layers.models.runtime.manifest import (
    FILE_BLOB,
    NATIVE_BLOB,
    PLAN_BLOB,
    WEIGHTS_BLOB,
    Blob,
    Model,
    ModelName,
    Pointer,
)
from layers.models.runtime.model_store import ModelStore
from layers.models.runtime.s3_download import Download
from layers.models.tools.bundle import list_blobs
from layers.models.tools.convert import cosine_of, measure_native, psnr_db
from layers.models.tools.history import read_manifest
from layers.models.tools.progress import Show, show_nothing
from layers.models.tools.run_native import run_native

MIN_SECONDS, MIN_BYTES_PER_SECOND = 60.0, 500_000  # that a blob's transfer may take, and the slowest that it may be


@dataclass(frozen=True)
class VerificationReport:
    """The verdict on one part of a pack."""

    pack: str
    digest: str
    part: str  # "manifest", the name of a model, or the key of a blob
    fault: str  # what is wrong with it, or ""
    # Against the golden vector: max_difference, cosine or psnr_db. The native engine's output against onnxruntime's:
    # native_cosine or native_psnr_db.
    measured: dict[str, float]


def verify_pack(
    pointers: Iterable[Pointer], bucket: str, client: Any, show: Show = show_nothing
) -> list[VerificationReport]:
    """Read every blob of these packs, and run every model on its golden vector; faults are reported, not raised.

    What packs share is verified once.
    """
    return _Verifier(bucket, client, show).packs(pointers)


class _Verifier:
    def __init__(self, bucket: str, client: Any, show: Show) -> None:
        self._bucket, self._client, self._show = bucket, client, show
        self._store = ModelStore(bucket, client)
        self._faults: dict[str, str] = {}  # of blobs, by key
        self._results: dict[tuple[str, ...], tuple[str, dict[str, float]]] = {}  # of models, by their blobs' digests

    def packs(self, pointers: Iterable[Pointer]) -> list[VerificationReport]:
        reports = []
        for pointer in pointers:
            name = (pointer.pack, pointer.digest)
            try:
                pack = read_manifest(pointer, self._bucket, self._client)
            except ColdswapError as error:
                reports.append(VerificationReport(*name, "manifest", error.detail, {}))
                continue
            reports.append(VerificationReport(*name, "manifest", "", {}))
            reports += [VerificationReport(*name, blob.key, self._fault(blob), {}) for blob in list_blobs(pack)]
            for model_name, model in pack.models.items():
                blobs = (model.golden, *model.blobs)
                key = tuple(blob.sha256 for blob in blobs)
                is_whole = not any(self._faults[blob.key] for blob in blobs)
                if is_whole and key not in self._results:
                    self._results[key] = self._run(model_name, model)
                reports.append(
                    VerificationReport(*name, model_name, *self._results.get(key, ("a part of it is faulty", {})))
                )
        return reports

    def _fault(self, blob: Blob) -> str:
        if blob.key not in self._faults:
            try:
                self._verify_blob(blob)
                self._faults[blob.key] = ""
            except ColdswapError as error:
                self._faults[blob.key] = error.detail
        return self._faults[blob.key]

    def _verify_blob(self, blob: Blob) -> None:
        """Read a blob in parallel, as the function does; verify each chunk, then all of it."""
        download = self._load(blob)
        digest = sha256()
        try:
            for end in [*range(blob.chunk_bytes, blob.size, blob.chunk_bytes), blob.size]:
                digest.update(download.wait(end)[(end - 1) // blob.chunk_bytes * blob.chunk_bytes :])
                self._show(f"verifying {blob.name}", end, blob.size)
        finally:
            download.close()
        if digest.hexdigest() != blob.sha256:
            raise ModelsCorrupt(f"{blob.key} does not match the digest in its name.")

    def _load(self, blob: Blob) -> Download:
        return self._store.load(blob, Deadline.after(MIN_SECONDS + blob.size / MIN_BYTES_PER_SECOND))

    def _read(self, blob: Blob) -> bytes:
        download = self._load(blob)
        try:
            return bytes(download.wait())
        finally:
            download.close()

    def _run(self, name: ModelName, model: Model) -> tuple[str, dict[str, float]]:
        try:
            golden = np.load(io.BytesIO(self._read(model.golden)), allow_pickle=False)
            inputs, expected = (
                {key.removeprefix(side): golden[key] for key in golden.files if key.startswith(side)}
                for side in ("input:", "output:")
            )
            outputs = self._outputs(model, inputs, list(expected))
            measurements = _measure(outputs, expected, set(golden.files))
            fault = _judge(measurements, golden)
            if any(blob.name == NATIVE_BLOB for blob in model.blobs):
                with suppress(Unavailable):
                    native = self._native(name, model, inputs)
                    measure, value, least = measure_native(name, native, outputs[next(iter(expected))])
                    measurements[measure] = value
                    if not value >= least:
                        fault = fault or f"{measure} is {value:.6g}, and should be at least {least:.6g}"
            return fault, measurements
        except ColdswapError as error:
            return error.detail, {}
        except Exception as error:  # whatever it is: the published model does not run
            return f"does not run: {error}", {}

    def _outputs(self, model: Model, inputs: dict[str, Array], names: list[str]) -> dict[str, Array]:
        if model.kind == "onnx":
            outputs = session(self._read(model.blob(FILE_BLOB)), 0).run(names, inputs)
            return dict(zip(names, outputs, strict=True))
        plan = StagePlan.parse(self._read(model.blob(PLAN_BLOB)))
        network = StagedNetwork(plan, self._load(model.blob(WEIGHTS_BLOB)), 0)
        try:
            return network.run(inputs)
        finally:
            network.close()

    def _native(self, name: ModelName, model: Model, inputs: dict[str, Array]) -> Array:
        """The same by the native engine. Raises Unavailable."""
        return run_native(name, self._read(model.blob(NATIVE_BLOB)), self._load(model.blob(WEIGHTS_BLOB)), inputs)


def _measure(outputs: dict[str, Array], expected: dict[str, Array], tolerances: set[str]) -> dict[str, float]:
    first, truth = next((outputs[name], expected[name]) for name in expected)
    if "min_psnr_db" in tolerances:
        return {"psnr_db": psnr_db(first, truth)}
    if "min_cosine" in tolerances:
        return {"cosine": cosine_of(first, truth)}
    return {"max_difference": max(float(np.abs(outputs[name] - expected[name]).max()) for name in expected)}


def _judge(measurements: dict[str, float], golden: Any) -> str:
    ((name, value),) = measurements.items()
    least, most = golden.get(f"min_{name}"), golden.get(name)
    if (least is not None and value >= least) or (most is not None and value <= most):
        return ""
    bound = f"at least {least:.4g}" if most is None else f"at most {most:.4g}"
    return f"{name} is {value:.4g} on the golden vector, and should be {bound}"
