"""Warming up the swap function: import what requests need, and test that it computes, encodes and signs."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from functions.swap.services import Services
from layers.core.errors import InternalError
from layers.core.telemetry import Phases, is_cold_start

# The order matters: functions.swap.pipeline imports layers.media.decode, which sets limits before OpenCV is imported.
MODULES = (
    "functions.swap.entry.http_api",
    "functions.swap.entry.s3_upload",
    "functions.swap.entry.schemas",
    "functions.swap.pipeline",
    "functions.swap.face_listing",
    "functions.swap.selection",
    "functions.swap.face.detect",
    "functions.swap.face.embed",
    "functions.swap.face.paste",
    "functions.swap.face.badge",
    "functions.swap.safeguards.content_filter",
    "layers.engine.native_swapper",
    "layers.media.encode",
    "layers.media.xmp_label",
    "layers.engine.onnx_embedder",
    "layers.engine.onnx_swapper",
    "onnxruntime",
    "c2pa",
)
CLIENTS = ("s3", "dynamodb", "stepfunctions", "secretsmanager", "lambda", "ssm")


def warm(services: Services) -> dict[str, Any]:
    """Import and test, and report how long it took; in a sandbox that is warm, nothing is left to do.

    Raises InternalError if the engine miscalculates, and LabelFailed or StorageFailed if nothing can be signed.
    """
    phases = Phases()
    was_cold = is_cold_start()
    with phases("import"):
        _import()
    with phases("test"):
        engine = _test(services.settings.signing_key)
    return {"warm": True, "cold_start": was_cold, "engine": engine, "timings_ms": phases.timings_ms()}


@cache
def _import() -> None:
    from layers.core.storage import client

    for name in MODULES:
        importlib.import_module(name)
    from functions.swap.face.scrfd import insightface_scrfd

    insightface_scrfd()
    for service in CLIENTS:
        client(service)


@cache
def _test(signing_key: str) -> str:
    """Test signing and the engine. Returns what will run the swapper.

    Loading the native engine makes it compare two ways of computing a layer.
    """
    import numpy as np

    from functions.swap.provenance import describe_swap
    from layers.engine.native_swapper import Miscalculates, Unavailable, library
    from layers.media.c2pa_key import signing_chain
    from layers.media.c2pa_label import Signer
    from layers.media.encode import encode
    from layers.media.picture import Picture
    from layers.media.xmp_label import label

    grey = Picture(np.full((16, 16, 3), 128, np.uint8), None, "", "jpeg")
    Signer(lambda: signing_chain(signing_key)).sign_picture(
        label(encode(grey, "jpeg", 90), "jpeg"), "jpeg", describe_swap(0, 0, "", {})
    )
    try:
        library()
    except Miscalculates as error:
        raise InternalError("The native engine computes wrong results on this processor.") from error
    except Unavailable:
        return "onnxruntime"
    return "native"
