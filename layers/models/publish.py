"""Publishes a pack of models: blobs that are not there yet, then the manifest, and last the pointer to it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from layers.models.lower import Lowered, lower_detector, lower_embedder, lower_swapper
from layers.models.manifest import POINTER_KEY, Blob, Manifest, Model, ModelName, Pointer


def lower_pack(folder: Path) -> dict[ModelName, Lowered]:
    """Lowers detector.onnx, embedder.onnx and swapper.onnx of a folder. Raises Unfit or OSError."""
    return {
        "detector": lower_detector(folder / "detector.onnx"),
        "embedder": lower_embedder(folder / "embedder.onnx"),
        "swapper": lower_swapper(folder / "swapper.onnx"),
    }


def publish(
    models: Mapping[ModelName, Lowered] | Path,
    bucket: str,
    client: Any,
    name: str,
    licences: Mapping[str, str],
    hint: str | None = None,
) -> str:
    """Makes this the pack in use and returns its digest. `models` may be a folder for `lower_pack`.

    `client` is boto3's for S3. Functions that run go on with the pack they have, and take the new one at their next
    request. Raises Unfit, and botocore's errors.
    """
    if isinstance(models, Path):
        models = lower_pack(models)
    described: dict[ModelName, Model] = {}
    for model, lowered in models.items():
        golden = Blob.of("golden", lowered.golden)
        blobs = tuple(Blob.of(blob, data) for blob, data in lowered.blobs.items())
        for blob, data in zip((golden, *blobs), (lowered.golden, *lowered.blobs.values()), strict=True):
            if not _is_there(client, bucket, blob):
                client.put_object(Bucket=bucket, Key=blob.key, Body=data)
        described[model] = Model(lowered.kind, licences[model], lowered.contract, golden, blobs)
    manifest = Manifest(name, described, hint).dump()
    Manifest.parse(manifest)
    pointer = Pointer(name, sha256(manifest).hexdigest())
    client.put_object(Bucket=bucket, Key=pointer.key, Body=manifest, ContentType="application/json")
    client.put_object(Bucket=bucket, Key=POINTER_KEY, Body=pointer.dump(), ContentType="application/json")
    return pointer.digest


def _is_there(client: Any, bucket: str, blob: Blob) -> bool:
    try:
        return bool(client.head_object(Bucket=bucket, Key=blob.key)["ContentLength"] == blob.size)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
            return False
        raise


def main() -> None:
    """`python -m layers.models.publish --from FOLDER --bucket BUCKET --pack NAME --licence TEXT`."""
    import boto3

    parser = argparse.ArgumentParser(prog="python -m layers.models.publish", description=__doc__)
    parser.add_argument("--from", dest="folder", type=Path, required=True, help="with detector.onnx, embedder.onnx ...")
    parser.add_argument("--bucket", required=True, help="the stack's models bucket")
    parser.add_argument("--pack", required=True, help="a name for the pack")
    parser.add_argument("--licence", required=True, help="of the models")
    parser.add_argument("--hint", help="a sentence for people in whose picture no face is found")
    given = parser.parse_args()
    licences = dict.fromkeys(("detector", "embedder", "swapper"), given.licence)
    print(publish(given.folder, given.bucket, boto3.client("s3"), given.pack, licences, given.hint))


if __name__ == "__main__":
    main()
