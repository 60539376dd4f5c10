"""Publishes the demo pack to a local cloud, with the code that publishes any pack."""

from __future__ import annotations

from typing import Any

from layers.models.runtime.manifest import POINTER_KEY, Pointer
from layers.models.tools.publish import publish
from local import demo_pack
from local.cloud import ROOT, Cloud

PACK = ROOT / "local/demo_pack"
NAME = demo_pack.NAME
HINT = (
    "The demo pack recognises drawn faces only. For photographs, run make models LOCAL=1 ACCEPT=1, which downloads "
    "InsightFace's models: they are for non-commercial research only."
)


def publish_demo_pack(cloud: Cloud) -> str:
    """Publish the demo pack unless another pack is in use already; the name of the pack in use."""
    s3, bucket = cloud.client("s3"), cloud.bucket("models")
    current = _current_pack(s3, bucket)
    if current not in (None, NAME):
        return str(current)
    publish(PACK, bucket, s3, NAME, dict.fromkeys(("detector", "embedder", "swapper"), demo_pack.LICENCE), HINT)
    return NAME


def _current_pack(s3: Any, bucket: str) -> str | None:
    try:
        body = s3.get_object(Bucket=bucket, Key=POINTER_KEY)["Body"]
    except s3.exceptions.NoSuchKey:
        return None
    return Pointer.parse(body.read()).pack
