"""How many crops a second the pack's swapper makes on this machine's GPU: `python -m workers.gpu.measure`.

Needs MODELS_BUCKET and AWS's own variables, as the worker does. Prints JSON: the device, and for each batch size crops
a second, milliseconds a batch, and TFLOPS as the network is defined.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any

import numpy as np

from layers.core.storage import client
from layers.engine.crop_planes import Pixels
from layers.engine.swapper import Floats
from layers.models.runtime.model_store import ModelStore
from workers.gpu.device_network import choose_device
from workers.gpu.swapper import PackSwapper

BATCHES = (1, 8, 64)
SECONDS = 5.0  # for each batch size, after a first run that is not counted
TFLOP = 0.349  # of a crop with inswapper_128; not of the demo pack, which is far smaller


def measure(swapper: PackSwapper, seconds: float = SECONDS, batches: tuple[int, ...] = BATCHES) -> list[dict[str, Any]]:
    """Time batches of these sizes, each for so many seconds at least."""
    random = np.random.default_rng(0)
    rows = []
    for batch in batches:
        crops: Pixels = random.integers(0, 256, (batch, 128, 128, 3)).astype(np.uint8)
        latents: Floats = random.normal(size=(batch, 512)).astype(np.float32)
        latents /= np.linalg.norm(latents, axis=1, keepdims=True)
        swapper.run(crops, latents)  # chooses algorithms, and allocates
        start, runs = time.perf_counter(), 0
        while not runs or time.perf_counter() - start < seconds:
            swapper.run(crops, latents)
            runs += 1
        each = (time.perf_counter() - start) / runs
        rate = batch / each
        row = {"batch": batch, "crops_per_second": rate, "batch_ms": 1000 * each, "tflops": TFLOP * rate}
        rows.append({name: round(value, 2) for name, value in row.items()})
    return rows


def main() -> int:
    """Load the pack in use, and print the table."""
    device = choose_device()
    swapper = PackSwapper(ModelStore(os.environ["MODELS_BUCKET"], client("s3")), device)
    swapper.load()
    print(json.dumps({"device": device, "batches": measure(swapper)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
