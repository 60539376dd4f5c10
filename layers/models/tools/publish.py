"""Publishes a pack of models: the blobs that are missing, then the manifest, and last the pointer to it.

So a reader never sees half a pack, and an interrupted publication changes nothing.
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from layers.models.runtime.manifest import POINTER_KEY, Blob, ModelName, Pointer
from layers.models.tools.bundle import Content, PackBundle, convert_folder, list_blobs
from layers.models.tools.progress import Show, show_nothing

if TYPE_CHECKING:
    from layers.models.tools.convert import ConvertedModel

PARALLEL_UPLOADS = 4
PARALLEL_LOOKUPS = 16
MISSING_STATUSES, CONFLICT_STATUSES = (403, 404), (409, 412)


class Conflict(Exception):
    """Somebody else has moved the pointer meanwhile."""


def publish(
    models: Mapping[ModelName, ConvertedModel] | Path,
    bucket: str,
    client: Any,
    name: str,
    licences: Mapping[str, str],
    hint: str | None = None,
) -> str:
    """Make this the pack in use, and return its digest. `models` may be a folder for `convert_folder`.

    Raises Unfit, and as `upload` does.
    """
    models = convert_folder(models) if isinstance(models, Path) else models
    return upload(PackBundle.assemble(models, name, licences, hint), bucket, client).digest


def upload(bundle: PackBundle, bucket: str, client: Any, show: Show = show_nothing) -> Pointer:
    """Make this the pack in use, and return the pointer to it.

    `client` is boto3's for S3. Running requests go on with the pack that they have; the next ones use the new pack.
    Raises Conflict if another pack was published meanwhile, OSError for files, and botocore's errors.
    """
    condition = pointer_condition(bucket, client)
    missing = find_absent(list_blobs(bundle.manifest), bucket, client)
    total_bytes, uploaded_bytes, lock = sum(blob.size for blob in missing), 0, threading.Lock()

    def put(blob: Blob) -> None:
        nonlocal uploaded_bytes
        _put(blob, bundle.contents[blob.key], bucket, client)
        with lock:
            uploaded_bytes += blob.size
            show(f"publishing {bundle.manifest.pack}", uploaded_bytes, total_bytes)

    with ThreadPoolExecutor(PARALLEL_UPLOADS) as pool:
        for result in [pool.submit(put, blob) for blob in missing]:
            result.result()
    pointer, manifest = bundle.pointer, bundle.manifest.dump()
    client.put_object(Bucket=bucket, Key=pointer.key, Body=manifest, ContentType="application/json")
    set_pointer(pointer, bucket, client, condition)
    return pointer


def find_absent(blobs: Iterable[Blob], bucket: str, client: Any) -> list[Blob]:
    """The blobs that are not in the bucket, or not with the right size."""

    def is_absent(blob: Blob) -> bool:
        head = _head(bucket, blob.key, client)
        return head is None or head["ContentLength"] != blob.size

    all_blobs = list(blobs)
    with ThreadPoolExecutor(PARALLEL_LOOKUPS) as pool:
        return [blob for blob, is_missing in zip(all_blobs, pool.map(is_absent, all_blobs), strict=True) if is_missing]


def pointer_condition(bucket: str, client: Any) -> dict[str, str]:
    """Arguments of put_object that make it fail unless the pointer is still what it is now."""
    head = _head(bucket, POINTER_KEY, client)
    if head is None:
        return {"IfNoneMatch": "*"}
    return {"IfMatch": head["ETag"]} if head.get("ETag") else {}


def set_pointer(pointer: Pointer, bucket: str, client: Any, condition: Mapping[str, str]) -> None:
    """Make a manifest in the bucket the one in use. Raises Conflict if the condition does not hold."""
    try:
        client.put_object(
            Bucket=bucket, Key=POINTER_KEY, Body=pointer.dump(), ContentType="application/json", **condition
        )
    except ClientError as error:
        if _status(error) in CONFLICT_STATUSES:
            raise Conflict(
                f"Another pack was published to {bucket} meanwhile. List the packs, and publish again if this is right."
            ) from error
        raise


def _put(blob: Blob, content: Content, bucket: str, client: Any) -> None:
    # S3 verifies the digest, and refuses other bytes than the key names.
    checksum = {"ChecksumSHA256": base64.b64encode(bytes.fromhex(blob.sha256)).decode()}
    if isinstance(content, Path):
        with content.open("rb") as file:
            client.put_object(Bucket=bucket, Key=blob.key, Body=file, **checksum)
    else:
        client.put_object(Bucket=bucket, Key=blob.key, Body=content, **checksum)


def _head(bucket: str, key: str, client: Any) -> dict[str, Any] | None:
    try:
        head: dict[str, Any] = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if _status(error) in MISSING_STATUSES:  # 403 without the right to list the bucket
            return None
        raise
    return head


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
