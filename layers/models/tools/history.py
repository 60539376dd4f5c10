"""Which packs a bucket has seen, and going back to one of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from botocore.exceptions import ClientError

from layers.core.errors import ModelsCorrupt, ModelsMissing
from layers.models.runtime.manifest import POINTER_KEY, Manifest, Pointer
from layers.models.tools.bundle import blobs
from layers.models.tools.publish import absent, point, seen

PREFIX = "packs/"


@dataclass(frozen=True)
class PublishedPack:
    """A manifest in the bucket."""

    pointer: Pointer
    at: datetime  # when it was last published
    current: bool


def history(bucket: str, client: Any) -> list[PublishedPack]:
    """Every manifest, the newest first. Raises ModelsCorrupt for a pointer that is none, and botocore's errors."""
    now = current(bucket, client)
    found = []
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX):
        for entry in page.get("Contents", []):
            pack, _, name = entry["Key"].removeprefix(PREFIX).partition("/")
            pointer = Pointer(pack, name.removesuffix(".json"))
            if pointer.key == entry["Key"]:
                found.append(PublishedPack(pointer, entry["LastModified"], pointer == now))
    return sorted(found, key=lambda each: (each.at, each.pointer.key), reverse=True)


def current(bucket: str, client: Any) -> Pointer | None:
    """The pack in use, if there is one. Raises ModelsCorrupt, and botocore's errors."""
    try:
        return Pointer.parse(_read(bucket, POINTER_KEY, client))
    except ModelsMissing:
        return None


def manifest(pointer: Pointer, bucket: str, client: Any) -> Manifest:
    """What the pointer points at. Raises ModelsMissing, ModelsCorrupt, and botocore's errors."""
    data = _read(bucket, pointer.key, client)
    if sha256(data).hexdigest() != pointer.digest:
        raise ModelsCorrupt(f"{pointer.key} is not what its name says.")
    return Manifest.parse(data)


def choose(packs: list[PublishedPack], digest: str | None) -> Pointer:
    """The pack whose digest begins so; without one, the pack published before the one in use.

    `packs` is the history. Raises ModelsMissing.
    """
    if digest:
        fitting = [each.pointer for each in packs if each.pointer.digest.startswith(digest)]
        if len(fitting) != 1:
            raise ModelsMissing(f"{len(fitting)} packs of the bucket have a digest that begins with {digest}.")
        return fitting[0]
    places = [place for place, each in enumerate(packs) if each.current]
    earlier = packs[places[0] + 1 :] if places else []
    if not earlier:
        raise ModelsMissing("The bucket has no pack that was published before the one in use.")
    return earlier[0].pointer


def rollback(bucket: str, client: Any, digest: str | None = None) -> Pointer:
    """Makes an earlier pack the one in use, chosen as by `choose`.

    Raises ModelsMissing where a part of it is gone, ModelsCorrupt, Conflict, and botocore's errors.
    """
    condition = seen(bucket, client)
    pointer = choose(history(bucket, client), digest)
    gone = absent(blobs(manifest(pointer, bucket, client)), bucket, client)
    if gone:
        names = ", ".join(sorted(blob.key for blob in gone))
        raise ModelsMissing(
            f"{pointer.pack} {pointer.digest[:12]} is no longer whole: {names} missing. Publish it again."
        )
    point(pointer, bucket, client, condition)
    return pointer


def _read(bucket: str, key: str, client: Any) -> bytes:
    try:
        with client.get_object(Bucket=bucket, Key=key)["Body"] as body:
            return bytes(body.read())
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") in (403, 404):
            raise ModelsMissing(f"{key} is not in {bucket}, or may not be read from there.") from error
        raise
