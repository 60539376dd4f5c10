"""One process of the memory benchmark. memory.py runs it:

    python -m tests.bench.memory_arm ARM.json COST.json

`ours` is the whole function, as in arm.py. `naive` is what other servers do: files into /tmp, a default session on
each, insightface's classes; `analysis` is what it loads to analyse faces (five: FaceAnalysis with all five models of
buffalo_l; two: the detector and the embedder; none: the face is fixed), `swapper` the file that swaps (none: no swap).
"""

from __future__ import annotations

import gc
import json
import os
import re
import shutil
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from layers.core.telemetry import peak_memory_mb
from tests import bench
from tests.bench import MODELS, OUTPUTS, RESULT, UPLOADS, instructions

WARM_RUNS = 3
SECONDS = 120.0
FIVE = ("1k3d68.onnx", "2d106det.onnx", "det_10g.onnx", "genderage.onnx", "w600k_r50.onnx")  # under buffalo_l/


@dataclass(frozen=True)
class Arm:
    """The configuration of one process."""

    who: Literal["ours", "naive"]
    size: int = 512  # of the detection
    keeps: bool = True  # models stay between requests
    latent_known: bool = False
    analysis: Literal["five", "two", "none"] = "two"
    swapper: Literal["fp16", "fp32", "none"] = "fp16"
    memory_mb: int = 1769  # of the sandbox, by which ours decides what to keep; the template's default

    @property
    def picture(self) -> str:
        """Key of a picture whose face the stand-in detector finds at this size."""
        return f"picture_{self.size}.jpg"


class Ours:
    """Our pipeline, with the services that the function's entries use."""

    def __init__(self, arm: Arm) -> None:
        from functions.swap import app
        from functions.swap.services import load_services

        assert callable(app.handler)
        services = load_services()
        self._services = replace(services, settings=replace(services.settings, detection_size=arm.size))
        self._arm = arm

    def request(self) -> None:
        """Make one swap. The face is the stack's default face if its latent is known."""
        from functions.swap.values import SwapRequest
        from layers.core.deadline import Deadline

        uri = f"s3://{UPLOADS}/{self._arm.picture}"
        request = SwapRequest(uri, None if self._arm.latent_known else uri, format="png")
        result = self._services.swap(request, key=RESULT, deadline=Deadline.after(SECONDS)).result
        assert [report.swapped for report in result.faces] == [True]


class Naive:
    """A server as peers write it."""

    def __init__(self, arm: Arm) -> None:
        import boto3

        self._s3 = boto3.client("s3")
        self._folder = Path(tempfile.mkdtemp(prefix="coldswap-naive-"))
        self._arm = arm
        self._loaded: dict[str, Any] = {}

    def request(self) -> None:
        """Make one swap, or the part of it that this arm does."""
        import cv2
        import numpy as np
        from insightface.app.common import Face

        data = self._s3.get_object(Bucket=UPLOADS, Key=self._arm.picture)["Body"].read()
        picture: Any = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        if self._arm.analysis == "five":
            face = self._load("five").get(picture)[0]
        elif self._arm.analysis == "two":
            boxes, keypoints = self._load("det_10g").detect(picture, input_size=(self._arm.size, self._arm.size))
            face = Face(bbox=boxes[0, :4], kps=keypoints[0], det_score=boxes[0, 4])
        else:
            middle = np.array([[-1, -1], [1, -1], [0, 0], [-0.8, 1], [0.8, 1]], np.float32) * 40 + 540
            face = Face(bbox=np.array([450, 450, 630, 630], np.float32), kps=middle, det_score=1.0)
        if self._arm.latent_known or self._arm.analysis == "none":
            face.embedding = np.random.default_rng(0).standard_normal(512).astype(np.float32)
        elif self._arm.analysis == "two":
            self._load("w600k_r50").get(picture, face)
        if self._arm.swapper != "none":
            picture = self._load("inswapper").get(picture, face, face)
        png = cv2.imencode(".png", picture)[1].tobytes()
        self._s3.put_object(Bucket=OUTPUTS, Key=RESULT, Body=png)
        if not self._arm.keeps:
            self._loaded.clear()
            gc.collect()

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder)

    def _load(self, name: str) -> Any:
        if name not in self._loaded:
            self._loaded[name] = self._create(name)
        return self._loaded[name]

    def _create(self, name: str) -> Any:
        from insightface.app import FaceAnalysis
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.model_zoo.inswapper import INSwapper
        from insightface.model_zoo.scrfd import SCRFD

        if name == "five":
            for file in FIVE:
                self._file(f"buffalo_l/{file}")
            analysis = FaceAnalysis(name=str(self._folder / "buffalo_l"))
            analysis.prepare(ctx_id=0, det_size=(self._arm.size, self._arm.size))
            assert len(analysis.models) == len(FIVE)
            return analysis
        if name == "inswapper":
            return INSwapper(self._file(f"swapper_{self._arm.swapper}.onnx"))
        model_class = {"det_10g": SCRFD, "w600k_r50": ArcFaceONNX}[name]
        return model_class(self._file(f"buffalo_l/{name}.onnx"))

    def _file(self, key: str) -> str:
        path = self._folder / key
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            self._s3.download_file(MODELS, f"naive/{key}", str(path))
        return str(path)


def resident_mb(process: int | str = "self") -> float:
    """Resident memory of a process in MB of 10^6 bytes (VmRSS of proc_pid_status(5))."""
    status = Path(f"/proc/{process}/status").read_text()
    match = re.search(r"^VmRSS:\s+(\d+) kB", status, re.MULTILINE)
    assert match
    return round(int(match[1]) * 1024 / 1e6, 1)


def main() -> None:
    """Run the arm and write what it cost."""
    arm = Arm(**json.loads(Path(sys.argv[1]).read_text()))
    instructions.hold_engine()
    server = Ours(arm) if arm.who == "ours" else Naive(arm)
    server.request()
    cold, warm = time.time() - float(os.environ["BENCH_STARTED"]), []
    for _ in range(int(os.environ.get(bench.WARM_RUNS, WARM_RUNS))):
        began = time.perf_counter()
        server.request()
        warm.append(time.perf_counter() - began)
    cost = {
        "peak_mb": peak_memory_mb(),
        "resident_mb": resident_mb(),
        "cold_s": cold,
        "warm_s": statistics.median(warm),
    }
    Path(sys.argv[2]).write_text(json.dumps(cost))
    if isinstance(server, Naive):
        server.close()


if __name__ == "__main__":
    main()
