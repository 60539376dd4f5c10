"""A test that runs while the swap image is built: one whole swap with the demo pack, by the image's code, offline, and
what the detector reports against insightface's class.

`python selftest.py FOLDER`: the folder has detector.onnx, embedder.onnx, swapper.onnx, and contact.jpg, which shows
faces. What converts models (layers/models/tools) is not in the image, but in reach while this runs.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import io
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from botocore.exceptions import ClientError

from functions.swap import pipeline
from functions.swap.context import SwapContext
from functions.swap.safeguards.denylist import DenylistStore
from functions.swap.settings import Settings
from functions.swap.swap_records import SwapRecords
from functions.swap.values import SwapRequest
from layers.core.budget import Budget
from layers.core.deadline import Deadline
from layers.core.storage import Head, Storage
from layers.models.runtime.loaded_models import LoadedModels
from layers.models.runtime.model_store import ModelStore
from layers.models.tools.publish import publish

BUCKETS = {"MODELS_BUCKET": "models", "UPLOADS_BUCKET": "uploads", "OUTPUTS_BUCKET": "outputs"}
DEADLINE_SECONDS = 120.0
SCORE = 0.3  # from which the detectors are compared


class Objects:
    """The calls of boto3's S3 client that publishing and loading a pack make, on a dict."""

    def __init__(self) -> None:
        self._objects: dict[str, bytes] = {}

    def head_object(self, Bucket: str, Key: str) -> dict[str, Any]:
        """As boto3."""
        if Key not in self._objects:
            raise ClientError({"ResponseMetadata": {"HTTPStatusCode": 404}}, "HeadObject")
        return {"ContentLength": len(self._objects[Key])}

    def put_object(self, Bucket: str, Key: str, Body: bytes, **_: str) -> None:
        """As boto3."""
        self._objects[Key] = bytes(Body)

    def get_object(self, Bucket: str, Key: str, Range: str = "", **_: str) -> dict[str, Any]:
        """As boto3, with a whole range or none."""
        data = self._objects[Key]
        first, last = (int(end) for end in (Range.removeprefix("bytes=") or f"0-{len(data) - 1}").split("-"))
        span = f"bytes {first}-{last}/{len(data)}"
        part = data[first : last + 1]
        return {"Body": io.BytesIO(part), "ContentLength": len(part), "ContentRange": span, "ETag": ""}


class Outputs(Storage):
    """Storage that keeps the one result."""

    def __init__(self) -> None:
        self.result = b""

    def head(self, bucket: str, key: str) -> Head | None:
        return None

    def write(
        self, bucket: str, key: str, data: bytes, content_type: str, metadata: dict[str, str] | None = None
    ) -> None:
        self.result = data

    def presign_get(self, bucket: str, key: str, seconds: int, filename: str | None = None) -> str:
        return ""


def main(folder: Path, environment: Mapping[str, str]) -> None:
    """Make one swap; raises RuntimeError if it is wrong."""
    objects, storage = Objects(), Outputs()
    publish(folder, "models", objects, "demo", dict.fromkeys(("detector", "embedder", "swapper"), "MIT"))
    settings = Settings.read({**environment, **BUCKETS})
    models = LoadedModels(ModelStore("models", objects), settings.threads)
    picture = (folder / "contact.jpg").read_bytes()
    uri = f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
    context = SwapContext(
        settings=settings,
        storage=storage,
        models=models,
        budget=Budget("", "megapixels", lambda: 0, dict),
        denylist=DenylistStore(storage, "models"),
        records=SwapRecords("", dict, 0),
        deadline=Deadline.after(DEADLINE_SECONDS),
    )
    result = pipeline.swap(SwapRequest(uri, uri, faces="largest"), context, key="swapped").result
    if result.engine is None or not result.engine.startswith("native"):
        raise RuntimeError(f"the swapper ran on {result.engine}, not on the native engine")
    count = sum(face.swapped for face in result.faces)
    if count != 1 or not storage.result or storage.result == picture:
        raise RuntimeError(f"{count} faces were swapped")
    _compare_with_insightface(models, picture)
    print(f"one of {len(result.faces)} faces swapped in {sum(result.timings_ms.values()):.0f} ms")


def _compare_with_insightface(models: LoadedModels, picture: bytes) -> None:
    """Raise RuntimeError unless the image's detector reports what insightface's does, to the bit."""
    import cv2
    import numpy as np

    from functions.swap.face.scrfd import Scrfd

    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    if pixels is None:
        raise RuntimeError("contact.jpg cannot be decoded")
    whole = np.asarray(pixels, np.uint8)
    crop = whole[: whole.shape[0] // 32 * 32, : whole.shape[1] // 32 * 32]
    session = models.detector_session(Deadline.after(DEADLINE_SECONDS))
    theirs = [np.concatenate(each) for each in _import_insightface_scrfd().SCRFD(session=session).forward(crop, SCORE)]
    ours = Scrfd(session).forward(crop, SCORE)
    if not len(ours[0]) or not all(
        np.array_equal(one.ravel(), other.ravel()) for one, other in zip(ours, theirs, strict=True)
    ):
        raise RuntimeError("the detector's results are not insightface's")


def _import_insightface_scrfd() -> Any:
    """insightface.model_zoo.scrfd without the __init__ of its packages, which import scipy and scikit-image: empty
    packages take their place."""
    spec = importlib.util.find_spec("insightface")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("insightface is not installed")
    root = spec.submodule_search_locations[0]
    for name, folder in (("insightface", root), ("insightface.model_zoo", f"{root}/model_zoo")):
        package = sys.modules[name] = ModuleType(name)
        package.__path__ = [folder]
    return importlib.import_module("insightface.model_zoo.scrfd")


if __name__ == "__main__":
    main(Path(sys.argv[1]), os.environ)
