"""Warming up the swap function: import what requests need, and test that it computes, encodes and signs."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from functions.swap.services import Services
from layers.core.deadline import Deadline
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
    "layers.engine.native_embedder",
    "layers.media.encode",
    "layers.media.xmp_label",
    "layers.engine.onnx_embedder",
    "layers.engine.onnx_swapper",
    "onnxruntime",
    "c2pa",
)
# Of the function for moving memes alone; the order matters here too.
STEP_MODULES = (
    "functions.swap.moving_run",
    "functions.swap.picture_loading",
    "functions.swap.moving.analysis",
    "functions.swap.moving.swapped_chunk",
    "functions.swap.moving.delivery",
)
_TEST_VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.1", "-c:v", "libx264")
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


def warm_steps(services: Services, until: Deadline) -> dict[str, Any]:
    """Do the same for the function that swaps moving memes, and test that ffmpeg encodes.

    Raises what `warm` raises, and EncodingFailed or OutOfTime.
    """
    phases = Phases()
    with phases("steps"):
        _test_steps(until)
    report = warm(services)
    return {**report, "timings_ms": {**report["timings_ms"], **phases.timings_ms()}}


_tested_steps: list[bool] = []


def _test_steps(until: Deadline) -> None:
    if not _tested_steps:
        for name in STEP_MODULES:
            importlib.import_module(name)
        from layers.media.ffmpeg import run

        run([*_TEST_VIDEO, "-f", "null", "-"], deadline=until)
        _tested_steps.append(True)


@cache
def _import() -> None:
    from layers.core.storage import client

    for name in MODULES:
        importlib.import_module(name)
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
