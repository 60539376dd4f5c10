"""The warm-up of the video function: it imports what requests and steps need, and tests that ffmpeg encodes and that
files are signed."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

from functions.video.services import SCRATCH, Services
from layers.core.deadline import Deadline
from layers.core.scratch_folders import scratch_folder
from layers.core.telemetry import Phases, is_cold_start

MODULES = (
    "functions.video.entry.http_api",
    "functions.video.steps",
    "functions.video.render.voice_over",
    "functions.video.render.footage",
    "functions.video.render.plan",
    "functions.video.dry_run",
    "functions.video.render.clip",
    "functions.video.render.assemble",
    "functions.video.publish",
    "functions.video.callback",
    "functions.video.providers.choice",
    "c2pa",
)
CLIENTS = ("s3", "dynamodb", "stepfunctions", "secretsmanager", "ssm")
_TEST_VIDEO = ("-f", "lavfi", "-i", "testsrc2=s=144x256:d=0.2", "-c:v", "libx264")


def warm(services: Services, until: Deadline) -> dict[str, Any]:
    """The times of the warm-up by phase; a sandbox that is warm already has little to do.

    Raises EncodingFailed, LabelFailed, StorageFailed or OutOfTime where the function could not make a video.
    """
    phases = Phases()
    was_cold = is_cold_start()
    with phases("import"):
        _import()
    with phases("test"):
        _test(services.settings.signing_key, until)
    return {"warm": True, "cold_start": was_cold, "timings_ms": phases.timings_ms()}


@cache
def _import() -> None:
    from layers.core.storage import client

    for name in MODULES:
        importlib.import_module(name)
    for service in CLIENTS:
        client(service)


_tested_keys: set[str] = set()  # signing keys that have signed here


def _test(signing_key: str, until: Deadline) -> None:
    from layers.media import ffmpeg
    from layers.media.c2pa_key import signing_chain
    from layers.media.c2pa_label import Action, Provenance, Signer
    from layers.media.xmp_label import SOURCE_TYPE, label_mp4

    if signing_key in _tested_keys:
        return
    with scratch_folder(SCRATCH) as folder:
        path = folder / "video.mp4"
        ffmpeg.run([*_TEST_VIDEO, str(path)], deadline=until)
        label_mp4(path)
        Signer(lambda: signing_chain(signing_key)).sign_video(
            path, Provenance([Action("c2pa.created", source_type=SOURCE_TYPE)])
        )
    _tested_keys.add(signing_key)
