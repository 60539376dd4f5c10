"""One process of the swap benchmark: a function's life from its start. bench.py runs it:

    python -m tests.bench.arm ours|naive OUT.json

Both arms import the same function, read the picture from S3, swap its one face and write the result to S3; they
differ in how they load and run the models.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from functions.swap import app  # the whole function, as Lambda would import it
from functions.swap.services import load_services
from functions.swap.values import SwapRequest
from layers.core.deadline import Deadline
from layers.core.telemetry import peak_memory_mb
from tests import bench
from tests.bench import FILES, MODELS, OUTPUTS, PICTURE, RESULT, UPLOADS, instructions

WARM_RUNS = 3
SECONDS = 120.0


class Ours:
    """Our pipeline, with the services that the function's entries use."""

    def swap(self) -> None:
        """Make one swap. The face is the stack's default face if DEFAULT_FACE is set."""
        uri = f"s3://{UPLOADS}/{PICTURE}"
        face = None if os.environ["DEFAULT_FACE"] else uri
        request = SwapRequest(uri, face, format="png", color_match=False, soft_edges=False, detail="fast")
        result = load_services().swap(request, key=RESULT, deadline=Deadline.after(SECONDS)).result
        assert [report.swapped for report in result.faces] == [True]
        assert (result.engine or "").endswith(instructions.instruction_set())

    def bytes_fetched(self) -> int:
        """Of models."""
        return load_services().models.bytes_fetched

    def embedding(self) -> list[float]:
        """Embed the face with the same modules, to compare the arms."""
        from functions.swap.face import detect, embed
        from layers.media.decode import decode

        services, deadline = load_services(), Deadline.after(SECONDS)
        data = services.storage.read(UPLOADS, PICTURE, services.settings.max_picture_bytes, deadline).data
        pixels = decode(data, services.settings.max_picture_bytes, services.settings.max_picture_pixels).pixels
        face = detect.Detector(services.models.detector_session(deadline), 512).find(pixels, deadline)[0]
        return [float(value) for value in embed.embed_face(pixels, face, services.models.embedder(deadline))]


class Naive:
    """What other servers do: files into /tmp, a default session on each, insightface's classes."""

    def __init__(self) -> None:
        import boto3

        self._s3 = boto3.client("s3")
        self._folder = Path(tempfile.mkdtemp(prefix="coldswap-naive-"))
        self._loaded: dict[str, Any] = {}
        self._embedding: Any = None

    def swap(self) -> None:
        """Make one swap."""
        import cv2
        import numpy as np
        from insightface.app.common import Face
        from insightface.model_zoo.arcface_onnx import ArcFaceONNX
        from insightface.model_zoo.inswapper import INSwapper
        from insightface.model_zoo.scrfd import SCRFD

        data = self._s3.get_object(Bucket=UPLOADS, Key=PICTURE)["Body"].read()
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        boxes, keypoints = self._model(FILES[0], SCRFD).detect(picture, input_size=(512, 512))
        face = Face(bbox=boxes[0, :4], kps=keypoints[0], det_score=boxes[0, 4])
        self._embedding = self._model(FILES[1], ArcFaceONNX).get(picture, face)
        result = self._model(FILES[2], INSwapper).get(picture, face, face)
        png = cv2.imencode(".png", result)[1].tobytes()
        self._s3.put_object(Bucket=OUTPUTS, Key=RESULT, Body=png)

    def bytes_fetched(self) -> int:
        """Bytes of models downloaded so far."""
        return sum((self._folder / name).stat().st_size for name in self._loaded)

    def embedding(self) -> list[float]:
        """The face's embedding of the last swap."""
        return [float(value) for value in self._embedding]

    def close(self) -> None:
        """Remove the files."""
        shutil.rmtree(self._folder)

    def _model(self, name: str, make: Callable[..., Any]) -> Any:
        if name not in self._loaded:
            path = self._folder / name
            self._s3.download_file(MODELS, f"naive/{name}", str(path))
            self._loaded[name] = make(str(path))
        return self._loaded[name]


def main() -> None:
    """Run one arm and write what it cost."""
    assert callable(app.handler)
    instructions.hold_engine()
    arm = Ours() if sys.argv[1] == "ours" else Naive()
    arm.swap()
    cold = time.time() - float(os.environ["BENCH_STARTED"])
    cost: dict[str, Any] = {"cold_s": cold, "cpu_s": time.process_time(), "peak_mb": peak_memory_mb()}
    cost["model_bytes"] = arm.bytes_fetched()
    warm = []
    for _ in range(int(os.environ.get(bench.WARM_RUNS, WARM_RUNS))):
        began = time.perf_counter()
        arm.swap()
        warm.append(time.perf_counter() - began)
    cost |= {"warm_s": statistics.median(warm), "warm_peak_mb": peak_memory_mb()}
    Path(sys.argv[2]).write_text(json.dumps({**cost, "embedding": arm.embedding()}))
    if isinstance(arm, Naive):
        arm.close()


if __name__ == "__main__":
    main()
