"""One process of the swapper's cold start, from the request for its first byte to the first output. bench.py runs it:

    python -m tests.bench.cold_arm ARM OUT.json

S3 is at AWS_ENDPOINT_URL. Arms: `bare` only downloads the same bytes in the same way; `naive` downloads the file, makes
a session of it and runs it; the others are `staged` (onnxruntime, sub-graphs as their weights arrive), `native` and
`windowed`.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime

from layers.core.deadline import Deadline
from layers.core.storage import client
from layers.core.telemetry import peak_memory_mb
from layers.engine.onnx_swapper import OnnxSwapper
from layers.engine.stages import StagePlan
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.manifest import PLAN_BLOB, WEIGHTS_BLOB
from layers.models.runtime.model_store import ModelStore
from tests.bench import FILES, MODELS, instructions

THREADS = len(os.sched_getaffinity(0))


def main() -> None:
    """Run one arm and write what it cost."""
    arm, out = sys.argv[1], Path(sys.argv[2])
    instructions.hold_engine()
    random = np.random.default_rng(0)
    crops = random.random((1, 3, 128, 128), np.float32)
    latents = random.standard_normal((1, 512)).astype(np.float32)
    latents /= np.linalg.norm(latents)
    s3, deadline = client("s3"), Deadline.after(120)
    store = ModelStore(MODELS, s3)
    retention: Literal["request", "container"] = "request" if arm == "windowed" else "container"
    models = LoadedModels(store, THREADS, retention, 1769)
    swapper = models.refresh(deadline).models["swapper"]
    plan = StagePlan.parse(store.read(swapper.blob(PLAN_BLOB), deadline)) if arm == "staged" else None
    before, cpu = time.perf_counter(), time.process_time()
    if arm == "naive":
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / FILES[2]
            s3.download_file(MODELS, f"naive/{FILES[2]}", str(file))
            session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
            session.run(None, {"target": crops, "source": latents})
    elif arm == "bare":
        store.load(swapper.blob(WEIGHTS_BLOB), deadline).wait()
    elif plan is not None:
        OnnxSwapper(plan, store.load(swapper.blob(WEIGHTS_BLOB), deadline), THREADS).run(crops, latents)
    else:
        engine = models.start_swapper(deadline).swapper(once=True)
        engine.run(crops, latents)
        assert engine.name.endswith(instructions.instruction_set())
    cost = {"first_output_s": time.perf_counter() - before, "cpu_s": time.process_time() - cpu}
    out.write_text(json.dumps({**cost, "peak_mb": peak_memory_mb()}))


if __name__ == "__main__":
    main()
