"""The swapper of the pack in use, on the device."""

from __future__ import annotations

import threading

import numpy as np

from layers.core.deadline import Deadline
from layers.engine.crop_job import MOST_CROPS
from layers.engine.crop_planes import Pixels, to_pixels, to_planes
from layers.engine.onnx_swapper import OUTPUT, SOURCE, TARGET
from layers.engine.stages import StagePlan
from layers.engine.swapper import Floats
from layers.models.runtime.manifest import PLAN_BLOB, WEIGHTS_BLOB
from layers.models.runtime.model_store import ModelStore
from workers.gpu.device_network import DeviceNetwork

LOAD_SECONDS = 300.0  # to fetch half a gigabyte


class PackChanged(Exception):
    """The job is for another swapper than the one in use."""


class PackSwapper:
    """Swaps batches of crops by the swapper of the pack in use, which is looked up again when a job names another.

    Safe to use from several threads; one batch runs at a time.
    """

    def __init__(self, store: ModelStore, device: str, threads: int = 0) -> None:
        self._store = store
        self._device = device
        self._threads = threads
        self._lock = threading.Lock()
        self._digest = ""
        self._network: DeviceNetwork | None = None

    @property
    def digest(self) -> str:
        """The digest of the swapper in memory, or "" before the first."""
        return self._digest

    def load(self) -> None:
        """Load the swapper of the pack in use, every byte of which is verified.

        Raises ModelsMissing, ModelsCorrupt, StorageFailed or OutOfTime.
        """
        with self._lock:
            self._load()

    def require(self, digest: str) -> None:
        """Raise PackChanged unless this is the swapper of the pack in use; the errors of `load`."""
        if digest == self._digest:
            return
        with self._lock:
            if digest != self._digest:
                self._load()
            if digest != self._digest:
                raise PackChanged(f"this worker's pack has the swapper {self._digest[:12]}, not {digest[:12]}")

    def run(self, crops: Pixels, latents: Floats) -> Pixels:
        """Swap crops, uint8 BGR [N, 128, 128, 3], by latents, float32 [N, 512]; at most MOST_CROPS at a time."""
        with self._lock:
            assert self._network is not None
            swapped = np.empty_like(crops)
            for first in range(0, len(crops), MOST_CROPS):
                batch = slice(first, first + MOST_CROPS)
                outputs = self._network.run({TARGET: to_planes(crops[batch]), SOURCE: latents[batch]})
                swapped[batch] = to_pixels(outputs[OUTPUT])
        return swapped

    def _load(self) -> None:
        deadline = Deadline.after(LOAD_SECONDS)
        model = self._store.current_pack(deadline).models["swapper"]
        if model.digest == self._digest:
            return
        plan = StagePlan.parse(self._store.read(model.blob(PLAN_BLOB), deadline))
        weights = self._store.load(model.blob(WEIGHTS_BLOB), deadline)
        try:
            network = DeviceNetwork(plan, weights.wait(), self._device, self._threads)
        finally:
            weights.close()
        self._network, self._digest = network, model.digest
