"""Publishes a pack of models: blobs that are not there yet, then the manifest, and last the pointer to it.

So a reader never sees half a pack, and a publication that is cut off changes nothing.
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
from layers.models.tools.bundle import Content, PackBundle, blobs, lower_pack
from layers.models.tools.progress import Show, silent

if TYPE_CHECKING:
    from layers.models.tools.convert import ConvertedModel

UPLOADS = 4  # at one time
LOOKS = 16
MISSING, CHANGED = (403, 404), (409, 412)


class Conflict(Exception):
    """The pointer was moved by somebody else meanwhile."""


def publish(
    models: Mapping[ModelName, ConvertedModel] | Path,
    bucket: str,
    client: Any,
    name: str,
    licences: Mapping[str, str],
    hint: str | None = None,
) -> str:
    """Makes this the pack in use and returns its digest. `models` may be a folder for `lower_pack`.

    Raises Unfit, and as `upload` does.
    """
    models = lower_pack(models) if isinstance(models, Path) else models
    return upload(PackBundle.of(models, name, licences, hint), bucket, client).digest


def upload(built: PackBundle, bucket: str, client: Any, show: Show = silent) -> Pointer:
    """Makes this the pack in use.

    `client` is boto3's for S3. Functions that run go on with the pack they have, and take the new one at their next
    request. Raises Conflict where another publication came between, OSError for files, and botocore's errors.
    """
    before = seen(bucket, client)
    missing = absent(blobs(built.manifest), bucket, client)
    total, done, lock = sum(blob.size for blob in missing), 0, threading.Lock()

    def put(blob: Blob) -> None:
        nonlocal done
        _put(blob, built.contents[blob.key], bucket, client)
        with lock:
            done += blob.size
            show(f"publishing {built.manifest.pack}", done, total)

    with ThreadPoolExecutor(UPLOADS) as pool:
        for result in [pool.submit(put, blob) for blob in missing]:
            result.result()
    pointer, manifest = built.pointer, built.manifest.dump()
    client.put_object(Bucket=bucket, Key=pointer.key, Body=manifest, ContentType="application/json")
    point(pointer, bucket, client, before)
    return pointer


def absent(wanted: Iterable[Blob], bucket: str, client: Any) -> list[Blob]:
    """Those that are not in the bucket with their right size."""

    def is_absent(blob: Blob) -> bool:
        head = _head(bucket, blob.key, client)
        return head is None or head["ContentLength"] != blob.size

    every = list(wanted)
    with ThreadPoolExecutor(LOOKS) as pool:
        return [blob for blob, gone in zip(every, pool.map(is_absent, every), strict=True) if gone]


def seen(bucket: str, client: Any) -> dict[str, str]:
    """The condition under which the pointer is still what it is now, as arguments of put_object."""
    head = _head(bucket, POINTER_KEY, client)
    if head is None:
        return {"IfNoneMatch": "*"}
    return {"IfMatch": head["ETag"]} if head.get("ETag") else {}


def point(pointer: Pointer, bucket: str, client: Any, condition: Mapping[str, str]) -> None:
    """Makes a manifest that is there the one in use. Raises Conflict where the condition does not hold."""
    try:
        client.put_object(
            Bucket=bucket, Key=POINTER_KEY, Body=pointer.dump(), ContentType="application/json", **condition
        )
    except ClientError as error:
        if _status(error) in CHANGED:
            raise Conflict(
                f"Another pack was published to {bucket} meanwhile. Look at the list, and publish again if this is it."
            ) from error
        raise


def _put(blob: Blob, content: Content, bucket: str, client: Any) -> None:
    # S3 compares the digest itself, and refuses what is not what its name says.
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
        if _status(error) in MISSING:  # 403 without the right to list the bucket
            return None
        raise
    return head


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
